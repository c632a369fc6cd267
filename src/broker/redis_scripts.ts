/**
 * What Redis does in one step, as Lua. A log is a stream, whose ids are `offset-time` with contiguous offsets and times that never go back, and
 * a hash that says where it ends. Each entry has the sum of the bytes up to itself, so that every limit is found by bisection.
 */
import { createHash } from 'node:crypto';

export interface Script {
  readonly source: string;
  readonly sha: string;
}

function script(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(number) return string.format('%.0f', number) end
`;

/**
 * KEYS: stream, hash. The hash: e epoch, o offset and n nonce of the last entry, t its time, c the sum of all bytes; f the first offset that
 * is kept, ft its time, fc the sum of the bytes before it.
 */
const LOG = `${NOW}
local stream, hash = KEYS[1], KEYS[2]
local kept = redis.call('HMGET', hash, 'e', 'o', 'n', 't', 'c', 'f', 'ft', 'fc')
local epoch = kept[1]
local offset, nonce, last, sum = 0, 0, 0, 0
local first, first_time, first_sum = 1, 0, 0
if epoch then
  offset, nonce, last, sum = tonumber(kept[2]), tonumber(kept[3]), tonumber(kept[4]), tonumber(kept[5])
  first, first_time, first_sum = tonumber(kept[6]), tonumber(kept[7]), tonumber(kept[8])
  if first <= offset and redis.call('EXISTS', stream) == 0 then first = offset + 1 end
end

-- Time, and the sum of the bytes before and behind an entry.
local function facts(at)
  local entry = redis.call('XRANGE', stream, int(at), '+', 'COUNT', 1)[1]
  local behind = tonumber(entry[2][4])
  return tonumber(string.match(entry[1], '-(%d+)$')), behind - #entry[2][6], behind
end

-- The first from low to high for which it holds, as it does for all after it; high + 1 if for none. Looks near low first.
local function search(low, high, holds)
  local step = 1
  while low + step - 1 <= high do
    local at = low + step - 1
    if holds(at) then high = at - 1 break end
    low = at + 1
    step = step * 2
  end
  while low <= high do
    local middle = math.floor((low + high) / 2)
    if holds(middle) then high = middle - 1 else low = middle + 1 end
  end
  return low
end

local function first_since(low, high, since)
  return search(low, high, function(at) return facts(at) >= since end)
end

-- The first that is not too old.
local function first_young(age)
  if first > offset or first_time >= now - age then return first end
  if last < now - age then return offset + 1 end
  return first_since(first, offset, now - age)
end
`;

/**
 * KEYS: stream, hash, optionally the idempotency key.
 * ARGV: 1 a new epoch, 2 entries, 3 age and 4 bytes of the retention, 5 how long the hash is kept, 6 channel, 7 bytes that are published, 8 how long
 * the key is kept, 9 - 11 what is expected (`-` if nothing): epoch or an empty string, offset, nonce; then nonce and data of each entry.
 * Answers 0, epoch, first offset; or 1, epoch, offset, nonce and first of the tail as it is instead; or 2, epoch, offset, nonce of the entry that the key has made.
 *
 * Published: a byte that is 1 if the data follow, previous offset and time as doubles, then nonce, length and perhaps data of each entry.
 */
export const APPEND = script(`${LOG}
local age = tonumber(ARGV[3])
if KEYS[3] and epoch then
  local used = redis.call('GET', KEYS[3])
  local its_epoch, its_offset, its_nonce = string.match(used or '', '^(%w+) (%d+) (%d+)$')
  if its_epoch == epoch then return {2, epoch, tonumber(its_offset), tonumber(its_nonce)} end
end

local count = (#ARGV - 11) / 2
if ARGV[9] ~= '-' then
  local expected = tonumber(ARGV[10])
  if ARGV[9] ~= (epoch or '') or expected ~= offset or tonumber(ARGV[11]) ~= nonce then
    local at = expected + count
    if epoch and (ARGV[9] == '' or ARGV[9] == epoch) and at <= offset then
      local there
      if at == offset then there = nonce
      elseif at >= first then there = redis.call('XRANGE', stream, int(at), '+', 'COUNT', 1)[1][2][2] end
      if tonumber(there) == tonumber(ARGV[#ARGV - 1]) then return {0, epoch, expected + 1} end
    end
    return {1, epoch or '', offset, nonce, first_young(age)}
  end
end

if not epoch then
  epoch = ARGV[1]
  redis.call('DEL', stream)
end
local began = offset
if last < now then last = now end
if first > offset then first, first_time, first_sum = offset + 1, last, sum end
local size = 0
for index = 1, count do
  local data = ARGV[11 + index * 2]
  nonce = ARGV[10 + index * 2]
  offset = offset + 1
  sum = sum + #data
  size = size + #data
  redis.call('XADD', stream, int(offset) .. '-' .. int(last), 'n', nonce, 'c', int(sum), 'd', data)
end

local keep = math.max(first_young(age), offset - tonumber(ARGV[2]) + 1)
if sum - first_sum > tonumber(ARGV[4]) then
  keep = math.max(keep, search(first, offset - 1, function(at)
    local _, before = facts(at)
    return sum - before <= tonumber(ARGV[4])
  end))
end
-- The rest is dropped by the next appends: no step takes long.
keep = math.min(keep, first + count + 1000)
if keep > first then
  redis.call('XTRIM', stream, 'MINID', int(keep))
  first = keep
  first_time, first_sum = facts(first)
end
redis.call('HSET', hash, 'e', epoch, 'o', int(offset), 'n', nonce, 't', int(last), 'c', int(sum),
  'f', int(first), 'ft', int(first_time), 'fc', int(first_sum))
redis.call('PEXPIRE', stream, age)
redis.call('PEXPIRE', hash, ARGV[5])
if KEYS[3] then
  redis.call('SET', KEYS[3], epoch .. ' ' .. int(offset) .. ' ' .. nonce, 'PX', ARGV[8])
end

local whole = size <= tonumber(ARGV[7])
local message = {struct.pack('>Bdd', whole and 1 or 0, began, last)}
for index = 1, count do
  local data = ARGV[11 + index * 2]
  message[#message + 1] = struct.pack('>I4I4', tonumber(ARGV[10 + index * 2]), #data)
  if whole then message[#message + 1] = data end
end
redis.call('PUBLISH', ARGV[6], table.concat(message))
return {0, epoch, began + 1}
`);

/**
 * KEYS: stream, hash. ARGV: 1 age of the retention, 2 after, 3 limit (0: only the tail), 4 bytes, 5 since, 6 `1` for reverse.
 * Answers epoch (or an empty string), offset, nonce and first of the tail, and the entries as XRANGE does.
 */
export const READ = script(`${LOG}
first = first_young(tonumber(ARGV[1]))
local after, limit, bytes, since = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local reverse = ARGV[6] == '1'
local low, high = first, offset
if not reverse then low = math.max(after + 1, low) elseif after > 0 then high = math.min(after - 1, high) end
if limit == 0 or low > high then return {epoch or '', offset, nonce, first, {}} end
if since > 0 then low = first_since(low, high, since) end
if low > high then return {epoch or '', offset, nonce, first, {}} end
if reverse then
  low = math.max(low, high - limit + 1)
  local _, _, behind = facts(high)
  local _, before = facts(low)
  if behind - before > bytes then
    low = search(low, high - 1, function(at)
      local _, before = facts(at)
      return behind - before <= bytes
    end)
  end
  return {epoch, offset, nonce, first, redis.call('XREVRANGE', stream, int(high), int(low))}
end
high = math.min(high, low + limit - 1)
local _, before = facts(low)
local _, _, behind = facts(high)
if behind - before > bytes then
  high = search(low + 1, high, function(at)
    local _, _, behind = facts(at)
    return behind - before > bytes
  end) - 1
end
return {epoch, offset, nonce, first, redis.call('XRANGE', stream, int(low), int(high))}
`);

/** KEYS: lease. ARGV: token, ttl. A lease that the server has lost is the holder's again. */
export const RENEW = script(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`);

/** KEYS: lease. ARGV: token. */
export const RELEASE = script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
`);

/** KEYS: mark. ARGV: value, ttl. Answers the value as text: Lua's numbers would do, but a reply of Redis is cut to an integer. */
export const RAISE = script(`
local value = redis.call('GET', KEYS[1])
if not value or tonumber(value) < tonumber(ARGV[1]) then value = ARGV[1] end
redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
return value
`);

/**
 * KEYS: the set (scored by when its members expire), their values, and all sets (scored by when, at the earliest, one of their members expires).
 * ARGV: set, member, ttl, value, how much longer the set is kept if nobody sweeps it. Answers 1 if the member is new.
 */
export const PUT = script(`${NOW}
local expires = now + ARGV[3]
local new = redis.call('ZADD', KEYS[1], expires, ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
redis.call('ZADD', KEYS[3], 'LT', expires, ARGV[1])
for index = 1, 2 do
  local kept = ARGV[3] + ARGV[5]
  if redis.call('PEXPIRE', KEYS[index], kept, 'NX') == 0 then redis.call('PEXPIRE', KEYS[index], kept, 'GT') end
end
return new
`);

/** KEYS: set, values. ARGV: member. */
export const REMOVE = script(`
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
`);

/** KEYS: set, values. Answers the members that have not expired, and the values of all. */
export const LIST = script(`${NOW}
return {redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf'), redis.call('HGETALL', KEYS[2])}
`);

/** KEYS: set. */
export const COUNT = script(`${NOW}
return redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
`);

/**
 * KEYS: all sets. ARGV: prefix of the sets to be swept, how many sets that are due were seen to be others', where sets and values begin, members at
 * most. Answers whether that was all, how many sets are others' now, and set, member and value of each that was removed.
 */
export const SWEEP = script(`${NOW}
local skip, room = tonumber(ARGV[2]), tonumber(ARGV[5])
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', skip, 100)
local swept = {}
for _, set in ipairs(due) do
  if string.sub(set, 1, #ARGV[1]) ~= ARGV[1] then
    skip = skip + 1
  else
    local members, values = ARGV[3] .. set, ARGV[4] .. set
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', now, 'LIMIT', 0, room)) do
      swept[#swept + 1] = set
      swept[#swept + 1] = member
      swept[#swept + 1] = redis.call('HGET', values, member) or ''
      redis.call('ZREM', members, member)
      redis.call('HDEL', values, member)
      room = room - 1
    end
    local next = redis.call('ZRANGE', members, 0, 0, 'WITHSCORES')
    if next[2] then redis.call('ZADD', KEYS[1], next[2], set) else redis.call('ZREM', KEYS[1], set) end
    if room == 0 then break end
  end
end
return {(#due < 100 and room > 0) and 1 or 0, skip, swept}
`);

export const SCRIPTS: readonly Script[] = [
  APPEND,
  READ,
  RENEW,
  RELEASE,
  RAISE,
  PUT,
  REMOVE,
  LIST,
  COUNT,
  SWEEP,
];
