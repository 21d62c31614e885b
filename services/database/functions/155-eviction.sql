-- Eviction: what a group has left waiting for too long. Steps as in 150-retention.sql, bounded and never waiting for a lock.

-- When the messages were created that have now waited for too long: waiting begins when they may be delivered.
create or replace function regent.eviction_time(q regent.queues) returns timestamptz
language sql volatile as $$
  select clock_timestamp() - make_interval(secs => q.max_wait_seconds::float8 + q.delayed_processing_seconds)
$$;

-- What eviction has to look at: the groups of queues with a longest wait, and such queues themselves where they have no
-- group (group_id null).
create or replace function regent.eviction_due_v1() returns table (queue_id bigint, group_id bigint)
language sql stable as $$
  select q.id, g.id from regent.queues q cross join lateral regent.eviction_time(q) as t(before) left join regent.groups g on g.queue_id = q.id
    where q.max_wait_seconds > 0
      and exists (select from regent.partitions p
                    where p.queue_id = q.id and p.oldest_at < 'infinity' and p.oldest_at < t.before)
    order by q.id, g.id
$$;

-- Dead letters of those of the positions p_from .. p_to of one segment that are not in p_except.
create or replace function regent.dead_letter_segment(q regent.queues, p regent.partitions, s regent.segments, p_group text, p_group_id bigint,
                                                      p_from bigint, p_to bigint, p_except int8multirange)
returns void language sql set enable_seqscan = off as $$
  insert into regent.dead_letters (queue_id, queue, partition_id, partition, consumer_group, position, line, error, retry_count, created_at)
    select q.id, q.name, p.id, p.name, p_group, s.first + l.ord - 1, l.line,
           'Message waited longer than maxWaitTimeSeconds (' || q.max_wait_seconds || ' s)', coalesce(a.failures, 0), s.created_at
      from string_to_table(s.body, E'\n') with ordinality as l(line, ord)
      left join regent.attempts a on a.partition_id = p.id and a.group_id = p_group_id and a.position = s.first + l.ord - 1
      where s.first + l.ord - 1 between p_from and p_to and not p_except @> (s.first + l.ord - 1)
      order by l.ord
    on conflict (partition_id, consumer_group, position) do nothing
$$;

-- Evict from one partition for one group: what was created before p_before counts as acknowledged, about p_limit messages,
-- and goes to the group's dead letters unless the queue keeps none. What is leased now stays; so does what is not for the
-- group anyway: older than the time it starts at, or than a ttl that is shorter. evicted is null when the cursor is taken.
create or replace function regent.evict(q regent.queues, g regent.groups, p regent.partitions, p_before timestamptz, p_limit bigint, out evicted bigint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  c regent.cursors;
  s regent.segments;
  v_upto bigint := regent.position_before(p.id, p.head, p_before);
  v_live boolean;
  v_drained boolean;
  v_from bigint;            -- the last position that stays
  v_last bigint;
  v_a bigint;
  v_z bigint;
  v_committed bigint;
  v_acked int8multirange;
begin
  evicted := 0;
  perform from regent.cursors where partition_id = p.id and group_id = g.id and committed < v_upto;
  if not found then
    return;
  end if;
  select * into c from regent.cursors where partition_id = p.id and group_id = g.id for update skip locked;
  if not found then
    evicted := null;
    return;
  end if;
  v_live := c.lease_id is not null and c.available_at > clock_timestamp();
  v_from := case when v_live then greatest(c.committed, c.lease_to) else c.committed end;
  if g.starts_at is not null then
    v_from := greatest(v_from, regent.position_before(p.id, p.head, g.starts_at));
  end if;
  if q.ttl_seconds between 1 and q.max_wait_seconds + q.delayed_processing_seconds - 1 then
    v_from := greatest(v_from, regent.position_before(p.id, p.head, clock_timestamp() - make_interval(secs => q.ttl_seconds)));
  end if;
  if c.acked @> v_from + 1 then
    select upper(n) - 1 into v_from from unnest(c.acked) as n where n @> (v_from + 1);
  end if;

  for s in
    select * from regent.segments t
      where t.partition_id = p.id and t.first <= v_upto and t.first + t.count - 1 > v_from
        and t.first >= coalesce((select b.first from regent.segments b where b.partition_id = p.id and b.first <= v_from + 1
                                   order by b.first desc limit 1), v_from + 1)
      order by t.first
  loop
    exit when evicted >= p_limit;
    v_a := greatest(s.first, v_from + 1);
    v_z := least(s.first + s.count - 1, v_upto);
    if q.dead_letter_queue then
      perform regent.dead_letter_segment(q, p, s, g.name, g.id, v_a, v_z, c.acked);
    end if;
    evicted := evicted + regent.unread(v_z, v_a - 1, c.acked * int8multirange(int8range(v_a, v_z, '[]')));
    v_last := v_z;
  end loop;
  if v_last is null then
    return;
  end if;

  v_committed := c.committed;
  v_acked := c.acked + int8multirange(int8range(v_from + 1, v_last, '[]'));
  if v_acked @> v_committed + 1 then
    select upper(n) - 1 into v_committed from unnest(v_acked) as n where n @> (c.committed + 1);
  end if;
  v_drained := not v_live and v_committed >= p.head;
  if c.retried then
    delete from regent.attempts t
      where t.partition_id = p.id and t.group_id = g.id and (t.position <= v_committed or t.position between v_from + 1 and v_last);
  end if;
  update regent.cursors t
    set committed = v_committed, acked = v_acked - int8multirange(int8range(null, v_committed, '[]')),
        retried = c.retried and exists (select from regent.attempts a where a.partition_id = p.id and a.group_id = g.id),
        available_at = case when v_drained then regent.settle_cursor(p.id, v_committed) else t.available_at end,
        lease_id = case when v_drained then null else t.lease_id end
    where t.partition_id = p.id and t.group_id = g.id;
end
$$;

-- One step of a walk over the partitions in which a group has something to read, by available_at (p_after, as text) and
-- partition, after one of them. evicted: messages; missed: cursors that were locked by others; is_last: the walk is over.
create or replace function regent.eviction_step_v1(p_group bigint, p_after text, p_after_id bigint, p_limit int)
returns table (evicted bigint, missed int, after text, after_id bigint, is_last boolean)
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_variable
declare
  c record;
  g regent.groups;
  q regent.queues;
  p regent.partitions;
  v_until timestamptz;
  v_before timestamptz;
  v_evicted bigint;
  v_seen int := 0;
begin
  evicted := 0; missed := 0; after := p_after; after_id := p_after_id; is_last := true;
  select * into g from regent.groups where id = p_group;
  select * into q from regent.queues where id = g.queue_id and max_wait_seconds > 0;
  if not found or g.starts_at > clock_timestamp() then
    return next;
    return;
  end if;
  v_before := regent.eviction_time(q);
  for c in
    select t.partition_id, t.available_at from regent.cursors t
      where t.group_id = p_group and t.available_at < 'infinity'
        and t.available_at >= p_after::timestamptz and (t.available_at, t.partition_id) > (p_after::timestamptz, p_after_id)
      order by t.available_at, t.partition_id limit 501
  loop
    v_until := coalesce(v_until, clock_timestamp() + interval '50 milliseconds');
    if v_seen = 500 or clock_timestamp() > v_until then
      is_last := false;
      exit;
    end if;
    v_seen := v_seen + 1;
    select * into p from regent.partitions where id = c.partition_id;
    if found and p.oldest_at < v_before then
      v_evicted := regent.evict(q, g, p, v_before, p_limit - evicted);
      evicted := evicted + coalesce(v_evicted, 0);
      missed := missed + (v_evicted is null)::int;
      if evicted >= p_limit then
        -- There may be more in this one: the next step begins with it.
        is_last := false;
        exit;
      end if;
    end if;
    after := c.available_at;
    after_id := c.partition_id;
  end loop;
  if evicted > 0 then
    perform regent.count_deleted(q.name, 0, 0, evicted, 0);
  end if;
  return next;
end
$$;

-- The same for a queue that nobody consumes: what has waited too long leaves the log for the dead letters of queue mode,
-- in whole segments. The walk is that of regent.retention_step_v1.
create or replace function regent.eviction_unread_step_v1(p_queue bigint, p_after text, p_after_id bigint, p_limit int)
returns table (evicted bigint, missed int, after text, after_id bigint, is_last boolean)
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_variable
declare
  c record;
  q regent.queues;
  p regent.partitions;
  s regent.segments;
  v_until timestamptz;
  v_before timestamptz;
  v_upto bigint;
  v_last bigint;
  v_deleted int8multirange;
  v_seen int := 0;
begin
  evicted := 0; missed := 0; after := p_after; after_id := p_after_id; is_last := true;
  select * into q from regent.queues where id = p_queue and max_wait_seconds > 0;
  if not found then
    return next;
    return;
  end if;
  if not regent.hold_groups(p_queue) then
    missed := 1;
    return next;
    return;
  end if;
  if exists (select from regent.groups where queue_id = p_queue) then
    return next;
    return;
  end if;
  v_before := regent.eviction_time(q);

  for c in
    select w.id, w.oldest_at from regent.partitions w
      where w.queue_id = p_queue and w.oldest_at < 'infinity' and w.oldest_at < v_before
        and w.oldest_at >= p_after::timestamptz and (w.oldest_at, w.id) > (p_after::timestamptz, p_after_id)
      order by w.oldest_at, w.id limit 501
  loop
    v_until := coalesce(v_until, clock_timestamp() + interval '50 milliseconds');
    if v_seen = 500 or clock_timestamp() > v_until then
      is_last := false;
      exit;
    end if;
    v_seen := v_seen + 1;
    select * into p from regent.partitions where id = c.id for update skip locked;
    if not found or not regent.hold_cursors(c.id) then
      missed := missed + 1;
    else
      v_upto := regent.position_before(p.id, p.head, v_before);
      v_deleted := regent.deleted_after(p.id, p.tail);
      v_last := null;
      for s in select * from regent.segments t where t.partition_id = p.id and t.first > p.tail and t.first <= v_upto order by t.first loop
        exit when evicted >= p_limit;
        v_last := s.first + s.count - 1;
        if q.dead_letter_queue then
          perform regent.dead_letter_segment(q, p, s, '__QUEUE_MODE__', null, s.first, v_last, v_deleted);
        end if;
        evicted := evicted + regent.unread(v_last, s.first - 1, v_deleted * int8multirange(int8range(s.first, v_last, '[]')));
      end loop;
      if v_last is not null then
        perform regent.trim_partition(p, v_last, v_last);
      end if;
      if evicted >= p_limit then
        is_last := false;
        exit;
      end if;
    end if;
    after := c.oldest_at;
    after_id := c.id;
  end loop;
  if evicted > 0 then
    perform regent.count_deleted(q.name, 0, 0, evicted, 0);
  end if;
  return next;
end
$$;
