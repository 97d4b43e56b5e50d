local params = actionParams or {}
local why = params.why
if why == nil or why == "" then
  why = "from Argo CD"
end
obj.metadata.annotations = obj.metadata.annotations or {}
-- Whoever pulled a lever before is not who pulls this one.
obj.metadata.annotations["bowline.dev/actor"] = nil
obj.metadata.annotations["bowline.dev/abort"] = why
return obj
