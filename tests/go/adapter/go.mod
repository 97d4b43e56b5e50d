module bowline.dev/tests/go/adapter

go 1.25.0
