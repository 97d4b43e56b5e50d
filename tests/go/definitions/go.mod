// Nothing of these is built: the definitions of their kinds are read.
module bowline.dev/tests/go/definitions

go 1.26.0

require (
	github.com/argoproj/argo-cd/v3 v3.5.7
	github.com/argoproj/argo-workflows/v3 v3.7.3
	github.com/fluxcd/kustomize-controller v1.9.6
	github.com/fluxcd/source-controller v1.9.6
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	github.com/tektoncd/pipeline v1.6.0
	sigs.k8s.io/gateway-api v1.4.0
)
