-- By the conditions of kstatus: Stalled, Reconciling, Ready.
if obj.status == nil or obj.status.conditions == nil then
  return {status = "Progressing", message = "the operator has not looked at it yet"}
end
if obj.status.observedGeneration ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not seen the last change yet"}
end
local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  if condition.status == "True" then
    conditions[condition.type] = condition
  end
end
if conditions.Stalled ~= nil then
  return {status = "Degraded", message = conditions.Stalled.reason .. ": " .. (conditions.Stalled.message or "")}
end
if conditions.Reconciling ~= nil then
  return {status = "Progressing", message = conditions.Reconciling.message or ""}
end
if conditions.Ready ~= nil then
  return {status = "Healthy", message = conditions.Ready.message or ""}
end
return {status = "Progressing", message = "not ready yet"}
