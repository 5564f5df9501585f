-- Sends one body per request, each with an id of its own, and logs what was acknowledged.
-- Arguments: the file of the body, the run's eight characters, the file of the log.

local head, tail, run, log
local sent = 0

function init(args)
   local file = io.open(args[1])
   local body = file:read("*a")
   file:close()
   run = args[2]
   log = io.open(args[3], "w")
   log:setvbuf("full", 65536)
   local before, after = body:match("^(.-)@@@@@@@@%-%%%%%%%%%%%%%%%%(.*)$")
   head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"]
      .. "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. before
   tail = after
end

function request()
   sent = sent + 1
   return head .. string.format("%s-%08d", run, sent) .. tail
end

function response(status, headers, body)
   if status >= 200 and status < 300 then
      log:write(headers["halflap-execution"] or "?", "\n")
   else
      log:write("!", status, "\n")
   end
end
