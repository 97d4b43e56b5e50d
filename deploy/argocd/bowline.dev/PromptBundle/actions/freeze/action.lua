local params = actionParams or {}
local environments = obj.spec.environments or {}
local environment = params.environment
if (environment == nil or environment == "") and #environments == 1 then
  environment = environments[1]
end
local known = false
for _, name in ipairs(environments) do
  known = known or name == environment
end
if not known then
  error("environment must be one that the bundle feeds: " .. table.concat(environments, ", "), 0)
end
local why = params.why
if why == nil or why == "" then
  why = "from Argo CD"
end
obj.metadata.annotations = obj.metadata.annotations or {}
-- Whoever pulled a lever before is not who pulls this one.
obj.metadata.annotations["bowline.dev/actor"] = nil
obj.metadata.annotations["bowline.dev/freeze"] = environment .. " " .. why
return obj
