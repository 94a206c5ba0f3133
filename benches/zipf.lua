-- Sends requests whose fields come from a file: a line each, fields of one line apart by tabs, from line FIRST on.
local requests, at = {}, 0

function init(arguments)
    local file, first = arguments[1], tonumber(arguments[2] or "1")
    local number = 0
    for line in io.lines(file) do
        number = number + 1
        if number >= first then
            local fields = {}
            for name, value in line:gmatch("([^\t:]+): ([^\t]+)") do
                fields[name] = value
            end
            requests[#requests + 1] = wrk.format(arguments[3] or "GET", wrk.path, fields, arguments[4])
        end
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end
