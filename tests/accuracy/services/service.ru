# A service for Puma, as a Rack application (tests/accuracy/cases.py says what each shape is).
require "net/http"

BACKEND = Integer(ENV.fetch("BACKEND"))
NEXT = Integer(ENV["NEXT"].to_s.empty? ? 0 : ENV["NEXT"])
POOL = Queue.new
JOBS = Queue.new
64.times { Thread.new { loop { JOBS.pop.call } } }

def connection(port)
  made = Net::HTTP.new("127.0.0.1", port)
  made.max_retries = 0
  made.keep_alive_timeout = 60
  made.start
end

def ask(connection, path, number)
  body = connection.get(path, "X-Request-Id" => number).body
  raise "#{path} was answered by #{body}" unless body == number
end

def fresh(path, number)
  made = connection(BACKEND)
  ask(made, path, number)
  made.finish
end

# On this thread's connection; thread_variable, since [] is local to a fiber.
def kept(path, number, port = BACKEND)
  name = "connection_#{port}"
  Thread.current.thread_variable_set(name, connection(port)) unless Thread.current.thread_variable?(name)
  ask(Thread.current.thread_variable_get(name), path, number)
end

def pooled(path, number)
  made = begin
    POOL.pop(true)
  rescue ThreadError
    connection(BACKEND)
  end
  ask(made, path, number)
  POOL.push(made)
end

def in_worker(path, number)
  done = Queue.new
  JOBS.push(-> { done.push(pooled(path, number)) })
  done.pop
end

def work(shape, number)
  path = "/work/#{number}/0"
  case shape
  when "one" then fresh(path, number)
  when "kept", "inner" then kept(path, number)
  when "pooled" then pooled(path, number)
  when "sequence" then 3.times { |call| kept("/work/#{number}/#{call}", number) }
  when "fan" then 3.times.map { |call| Thread.new { pooled("/work/#{number}/#{call}", number) } }.each(&:join)
  when "sleep"
    sleep 0.02
    kept(path, number)
  when "worker" then in_worker(path, number)
  when "hops" then kept("/inner/#{number}", number, NEXT)
  end
end

def later(number)
  Thread.new do
    sleep 0.01
    pooled("/work/#{number}/0", number)
  end
end

run(lambda do |env|
  _, shape, number = env["PATH_INFO"].split("/")
  work(shape, number)
  # Puma's own: called when the response has been sent.
  env["rack.after_reply"] << -> { later(number) } if shape == "after"
  [200, { "content-type" => "text/plain", "content-length" => number.bytesize.to_s }, [number]]
end)
