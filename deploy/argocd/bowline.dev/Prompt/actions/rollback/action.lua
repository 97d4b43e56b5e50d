local params = actionParams or {}
local environments = obj.status ~= nil and obj.status.environments or {}
local environment = params.environment
if (environment == nil or environment == "") and #environments == 1 then
  environment = environments[1].name
end
local names = {}
local known = false
for _, live in ipairs(environments) do
  table.insert(names, live.name)
  known = known or live.name == environment
end
if not known then
  error("environment must be one of those where the prompt is live: " .. table.concat(names, ", "), 0)
end
local target = environment
if params.version ~= nil and params.version ~= "" then
  target = environment .. "@" .. params.version
end
local why = params.why
if why == nil or why == "" then
  why = "from Argo CD"
end
obj.metadata.annotations = obj.metadata.annotations or {}
-- Whoever pulled a lever before is not who pulls this one.
obj.metadata.annotations["bowline.dev/actor"] = nil
obj.metadata.annotations["bowline.dev/rollback"] = target .. " " .. why
return obj
