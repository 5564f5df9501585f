-- Sends one body per request, each with an id of its own, and logs what was acknowledged: the
-- execution or event that the answer names; else the event sent last, which is the one that was
-- answered where each thread has one connection.
-- Arguments: the file of the body, the run's eight characters, the file of the log.

local head, tail, run, log
local sent = 0
local threads = 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(args)
   local file = io.open(args[1])
   local body = file:read("*a")
   file:close()
   run = args[2]
   log = io.open(args[3] .. "." .. number, "w")
   log:setvbuf("full", 65536)
   local before, after = body:match("^(.-)@@@@@@@@%-%%%%%%%%%%%%%%%%(.*)$")
   head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"]
      .. "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. before
   tail = after
end

local function id()
   return string.format("%s-%02d%06d", run, number, sent)
end

function request()
   sent = sent + 1
   return head .. id() .. tail
end

function response(status, headers, body)
   if status >= 200 and status < 300 then
      log:write(headers["halflap-execution"] or headers["event-id"] or id(), "\n")
   else
      log:write("!", status, "\n")
   end
end
