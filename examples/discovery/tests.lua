-- croft group discovery test tests.lua
local peers = "wget -q -O - http://sn:8080/cgi-bin/peers"

setup(function()
	app("install", { timeout = "5m" })
	app("start", { timeout = "2m" })
end)

case("every peer sees every other", function()
	for _, from in ipairs { "alice", "bob" } do
		local list = run(from, peers)
		for _, other in ipairs { "alice", "bob" } do
			expect(list:find(other), from .. " does not see " .. other)
		end
	end
end)

case("a cut peer gets no answer, and one after healing", function()
	cut("alice", "sn")
	local _, status = run("alice", "timeout 2 wget -q -O - http://{{sn.ip}}:8080/cgi-bin/peers", { expect = "any" })
	expect(status ~= 0, "the cut lets packets through")
	heal()
	run("alice", "timeout 3 " .. peers, { contains = "alice", within = "20s" })
end)
