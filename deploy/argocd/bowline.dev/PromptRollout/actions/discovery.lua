-- What has ended can be neither aborted nor promoted.
local state = obj.status ~= nil and obj.status.state or ""
local ended = state ~= "running" and state ~= "held"
local why = {{name = "why", default = "from Argo CD"}}
return {
  abort = {disabled = ended, params = why},
  promote = {disabled = ended, params = why},
}
