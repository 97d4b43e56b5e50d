-- Where an environment is frozen, nothing moves there.
local annotations = obj.metadata.annotations or {}
local frozen = annotations["bowline.dev/freeze"] ~= nil
local environments = obj.spec.environments or {}
local environment = ""
if #environments == 1 then
  environment = environments[1]
end
return {
  freeze = {
    disabled = frozen,
    params = {
      {name = "environment", default = environment},
      {name = "why", default = "from Argo CD"},
    },
  },
  unfreeze = {disabled = not frozen},
}
