if obj.metadata.annotations ~= nil then
  obj.metadata.annotations["bowline.dev/freeze"] = nil
end
return obj
