-- One POST, sent again and again; every answer is checked. ORDER_BODY, ORDER_STATUS and ORDER_EXPECT come from the
-- environment: what is sent, the status that is due, and a text that the body must contain.
local status, expect = tonumber(os.getenv("ORDER_STATUS")), os.getenv("ORDER_EXPECT")
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init()
  wrong = 0
  example = ""
  wrk.method = "POST"
  wrk.body = os.getenv("ORDER_BODY")
  wrk.headers["Content-Type"] = "application/json"
end

function response(got, _, body)
  if got ~= status or not body:find(expect, 1, true) then
    wrong = wrong + 1
    example = got .. " " .. body:sub(1, 200):gsub('[%c"\\]', " ")
  end
end

function done(summary, latency, _)
  local wrong, example = 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
    example = thread:get("example")
  end
  local errors = summary.errors
  print(string.format(
    '{"orders": %d, "seconds": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "wrong": %d, "broken": %d, "example": "%s"}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    wrong, errors.connect + errors.read + errors.write + errors.timeout, example))
end
