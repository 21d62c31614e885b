-- Wire ids are addresses: 48 bits of partition, version 8, then the position around the variant bits. Position 0 is
-- the partition itself. services/log/ids.ts is the same rule in TypeScript.
create or replace function regent.message_id(p_partition bigint, p_position bigint) returns uuid
language sql immutable parallel safe as $$
  select (lpad(to_hex(p_partition), 12, '0') || '8' || substr(h, 1, 3) || '8' || substr(h, 4, 3) || substr(h, 7))::uuid
  from (select lpad(to_hex(p_position), 18, '0') as h) as hex
$$;

-- The last position of a partition whose message was created before a time; 0 when there is none. created_at never
-- runs backwards within a partition, so this is a bisection over positions: log2(head) index probes, whatever its size.
create or replace function regent.position_before(p_partition bigint, p_head bigint, p_time timestamptz) returns bigint
language plpgsql stable set enable_seqscan = off as $$
declare
  lo bigint := 0;
  hi bigint := p_head;
  mid bigint;
  s record;
begin
  while lo < hi loop
    mid := (lo + hi + 1) / 2;
    select first, first + count - 1 as last, created_at into s
      from regent.segments where partition_id = p_partition and first <= mid order by first desc limit 1;
    if not found then
      lo := mid;
    elsif s.created_at < p_time then
      lo := greatest(mid, s.last);
    else
      hi := s.first - 1;
    end if;
  end loop;
  return lo;
end
$$;

-- One message line out of a segment body.
create or replace function regent.line_at(p_body text, p_index bigint) returns text
language sql immutable parallel safe as $$
  select (string_to_array(p_body, E'\n'))[p_index]
$$;

-- When a time lies, in milliseconds from now; null for infinity and for null. Clients wait on their own monotonic clock.
create or replace function regent.ms_until(p_time timestamptz) returns float8
language sql volatile as $$
  select case when p_time < 'infinity' then extract(epoch from p_time - clock_timestamp())::float8 * 1000 end
$$;

-- UTC with microseconds, as pop shows createdAt.
create or replace function regent.wire_time(p_time timestamptz) returns text
language sql stable as $$
  select to_char(p_time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- UTC with milliseconds, as everything but pop shows times; null and the infinities show as null.
create or replace function regent.wire_millis(p_time timestamptz) returns text
language sql stable as $$
  select case when isfinite(p_time) then to_char(p_time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') end
$$;

-- UTC with seconds, as the buckets of metric series show theirs.
create or replace function regent.wire_seconds(p_time timestamptz) returns text
language sql stable as $$
  select case when isfinite(p_time) then to_char(p_time at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') end
$$;

-- Messages a group has yet to acknowledge in a partition. What was deleted counts as acknowledged.
create or replace function regent.unread(p_head bigint, p_committed bigint, p_acked int8multirange) returns bigint
language sql immutable parallel safe as $$
  select p_head - p_committed - case when isempty(p_acked) then 0
    else (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from unnest(p_acked) as r) end
$$;
