-- The environment need not be said where the prompt is live in one only.
local environments = obj.status ~= nil and obj.status.environments or {}
local environment = ""
if #environments == 1 then
  environment = environments[1].name
end
return {
  rollback = {
    disabled = #environments == 0,
    params = {
      {name = "environment", default = environment},
      {name = "version", default = ""},
      {name = "why", default = "from Argo CD"},
    },
  },
}
