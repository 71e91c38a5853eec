-- Health of a StreamingPlatform for Argo CD, by the three conditions of kstatus. It goes into argocd-cm as
-- `resource.customizations.health.streamingplatform.dev_StreamingPlatform`.
local health = {status = "Progressing", message = "the operator has not looked at this generation yet"}
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end

local function is(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

if obj.spec.suspend then
  return {status = "Suspended", message = "spec.suspend is true"}
end
if is("Stalled") then
  return {status = "Degraded", message = found.Stalled.message}
end
if is("Ready") then
  return {status = "Healthy", message = found.Ready.message}
end
if found.Ready ~= nil then
  health.message = found.Ready.message
end
return health
