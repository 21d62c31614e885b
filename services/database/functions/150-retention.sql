-- What the background jobs delete. Every function here is one bounded step: it stops after about p_limit messages, a few
-- hundred partitions or 50 milliseconds, so that what it has locked is free again soon, and it never waits for a lock. What is
-- locked by others it counts as missed and leaves to a later look: so it is in no deadlock.
--
-- The tail of a partition only moves while its row and all of its cursors are locked, and none can be made. Whoever moves a
-- cursor back (regent.release_v2, regent.seek_step_v1) locks it and reads the tail in a later statement. So no cursor ever
-- stands before the tail.

-- Keep the groups of a queue as they are until the transaction ends: none is made (that takes the queue row alone), and
-- none that is being made gets cursors (that takes its row). False when somebody is at it right now.
create or replace function regent.hold_groups(p_queue bigint) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
  v_held int;
begin
  perform from regent.queues where id = p_queue for key share skip locked;
  if not found then
    return false;
  end if;
  v_held := (select count(*) from (
    select from regent.groups where queue_id = p_queue and seeded_to is not null order by id for update skip locked) as held);
  return v_held = (select count(*) from regent.groups where queue_id = p_queue and seeded_to is not null);
end
$$;

-- Lock every cursor of a partition; false when one of them is taken.
create or replace function regent.hold_cursors(p_partition bigint) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
  v_held int;
begin
  v_held := (select count(*) from (
    select from regent.cursors where partition_id = p_partition order by group_id for update skip locked) as held);
  return v_held = (select count(*) from regent.cursors where partition_id = p_partition);
end
$$;

-- Delete whole segments that end at or before p_upto from the front of a partition, about p_limit messages. The caller
-- holds the partition row (p is as it is now), the cursors and the groups. tail: where the partition begins now; deleted:
-- messages that went. Cursors that stood before it move there. Of those none is leased, or the caller would stop short of it.
create or replace function regent.trim_partition(p regent.partitions, p_upto bigint, p_limit bigint, out tail bigint, out deleted bigint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  c regent.cursors;
  v_last_first bigint;
  v_committed bigint;
  v_acked int8multirange;
begin
  select max(s.first), max(s.last) into v_last_first, tail
    from (
      select t.first, t.first + t.count - 1 as last, sum(t.count) over (order by t.first) - t.count as before
        from (select first, count from regent.segments where partition_id = p.id and first <= p_upto order by first limit p_limit) as t
    ) as s
    where s.last <= p_upto and s.before < p_limit;
  if v_last_first is null then
    tail := p.tail;
    deleted := 0;
    return;
  end if;
  tail := greatest(tail, p.tail);
  deleted := tail - p.tail;
  delete from regent.segments where partition_id = p.id and first <= v_last_first;
  update regent.partitions t
    set tail = tail,
        oldest_at = coalesce((select s.created_at from regent.segments s where s.partition_id = p.id and s.first > tail order by s.first limit 1), 'infinity')
    where t.id = p.id;
  for c in select * from regent.cursors t where t.partition_id = p.id and t.committed < tail loop
    v_committed := tail;
    v_acked := c.acked - int8multirange(int8range(null, tail, '[]'));
    if v_acked @> tail + 1 then
      select upper(n) - 1 into v_committed from unnest(v_acked) as n where n @> (tail + 1);
    end if;
    if c.retried then
      delete from regent.attempts t where t.partition_id = p.id and t.group_id = c.group_id and t.position <= v_committed;
    end if;
    -- Drained may be said here: no push is under way while the partition is locked.
    update regent.cursors t
      set committed = v_committed, acked = v_acked - int8multirange(int8range(null, v_committed, '[]')),
          retried = c.retried and exists (select from regent.attempts a where a.partition_id = p.id and a.group_id = c.group_id),
          available_at = case when v_committed >= p.head then 'infinity' else t.available_at end,
          lease_id = case when v_committed >= p.head then null else t.lease_id end
      where t.partition_id = p.id and t.group_id = c.group_id;
  end loop;
  delete from regent.tombstones t where t.partition_id = p.id and t.position <= tail;
  perform regent.delete_traces(p.id, p.tail + 1, tail);
end
$$;

-- Add to what was deleted from a queue in this minute.
create or replace function regent.count_deleted(p_queue text, p_retention bigint, p_completed bigint, p_eviction bigint, p_partitions bigint)
returns void language sql as $$
  insert into regent.retention_history as t (bucket, queue, retention_msgs, completed_retention_msgs, eviction_msgs, partitions_deleted, events)
    values (date_trunc('minute', clock_timestamp()), p_queue, p_retention, p_completed, p_eviction, p_partitions, 1)
    on conflict (bucket, queue) do update set
      retention_msgs = t.retention_msgs + excluded.retention_msgs,
      completed_retention_msgs = t.completed_retention_msgs + excluded.completed_retention_msgs,
      eviction_msgs = t.eviction_msgs + excluded.eviction_msgs,
      partitions_deleted = t.partitions_deleted + excluded.partitions_deleted,
      events = t.events + 1
$$;

-- From when on messages of a queue stay: those created before by_age go, read or not; those before by_completion go once
-- every group has acknowledged them. Null: all stay.
create or replace function regent.retention_times(q regent.queues, out by_age timestamptz, out by_completion timestamptz)
language sql volatile as $$
  select clock_timestamp() - make_interval(secs => least(nullif(q.ttl_seconds, 0), case when q.retention_enabled then nullif(q.retention_seconds, 0) end)),
         case when q.retention_enabled and q.completed_retention_seconds > 0
           then clock_timestamp() - make_interval(secs => q.completed_retention_seconds) end
$$;

-- The queues from which retention may have something to delete: one look into the index of partitions by age for each
-- queue that has a retention.
create or replace function regent.retention_due_v1() returns table (queue_id bigint)
language sql volatile as $$
  select q.id from regent.queues q cross join lateral regent.retention_times(q) as t
    where exists (select from regent.partitions p where p.queue_id = q.id and p.oldest_at < 'infinity' and p.oldest_at < greatest(t.by_age, t.by_completion))
    order by q.id
$$;

-- Up to where a partition may be deleted, and up to where of that because all groups have acknowledged it. A live lease
-- protects what stands behind its group's committed position, whatever its age. p_groups: the groups the queue has; one
-- that is being made and has no cursor for the partition yet has acknowledged nothing of it.
create or replace function regent.retention_cut(p regent.partitions, p_age timestamptz, p_completion timestamptz, p_groups int,
                                                out upto bigint, out completed_upto bigint)
language plpgsql set enable_seqscan = off as $$
declare
  v_groups int;
  v_committed bigint;
  v_leased bigint;
begin
  select count(*), min(c.committed), min(c.committed) filter (where c.lease_id is not null and c.available_at > clock_timestamp())
    into v_groups, v_committed, v_leased
    from regent.cursors c join regent.groups g on g.id = c.group_id where c.partition_id = p.id;
  upto := p.tail;
  completed_upto := p.tail;
  if p_age is not null then
    upto := least(regent.position_before(p.id, p.head, p_age), v_leased);
  end if;
  if p_completion is not null and p_groups > 0 and v_groups = p_groups then
    completed_upto := least(regent.position_before(p.id, p.head, p_completion), v_committed);
  end if;
  upto := greatest(upto, completed_upto);
end
$$;

-- One step of a walk over the partitions of a queue that have messages of age, the oldest first, after one of them.
--   p_after, p_after_id   where the step before ended: oldest_at (as text, with its microseconds) and id
-- deleted: messages; missed: partitions that were locked by others; is_last: the walk is over.
create or replace function regent.retention_step_v1(p_queue bigint, p_after text, p_after_id bigint, p_limit int)
returns table (deleted bigint, missed int, after text, after_id bigint, is_last boolean)
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_variable
declare
  c record;
  q regent.queues;
  p regent.partitions;
  t record;
  cut record;
  trimmed record;
  v_until timestamptz;
  v_groups int;
  v_completed bigint := 0;
  v_seen int := 0;
begin
  deleted := 0; missed := 0; after := p_after; after_id := p_after_id; is_last := true;
  select * into q from regent.queues where id = p_queue;
  if not found then
    return next;
    return;
  end if;
  if not regent.hold_groups(p_queue) then
    missed := 1;
    return next;
    return;
  end if;
  select * into t from regent.retention_times(q);
  select count(*) into v_groups from regent.groups where queue_id = p_queue;

  for c in
    select w.id, w.oldest_at from regent.partitions w
      where w.queue_id = p_queue and w.oldest_at < 'infinity' and w.oldest_at < greatest(t.by_age, t.by_completion)
        and w.oldest_at >= p_after::timestamptz and (w.oldest_at, w.id) > (p_after::timestamptz, p_after_id)
      order by w.oldest_at, w.id limit 501
  loop
    v_until := coalesce(v_until, clock_timestamp() + interval '50 milliseconds');
    if v_seen = 500 or clock_timestamp() > v_until then
      is_last := false;
      exit;
    end if;
    v_seen := v_seen + 1;
    -- A look without locks first: most of what is old is there because somebody has yet to read it.
    select * into p from regent.partitions where id = c.id;
    select * into cut from regent.retention_cut(p, t.by_age, t.by_completion, v_groups);
    if exists (select from (select first, count from regent.segments where partition_id = c.id order by first limit 1) as s
                 where s.first + s.count - 1 <= cut.upto) then
      select * into p from regent.partitions where id = c.id for update skip locked;
      if not found or not regent.hold_cursors(c.id) then
        missed := missed + 1;
      else
        select * into cut from regent.retention_cut(p, t.by_age, t.by_completion, v_groups);
        select * into trimmed from regent.trim_partition(p, cut.upto, p_limit - deleted);
        deleted := deleted + trimmed.deleted;
        v_completed := v_completed + greatest(least(trimmed.tail, cut.completed_upto) - p.tail, 0);
        if deleted >= p_limit then
          -- There may be more in this one: the next step begins with it.
          is_last := false;
          exit;
        end if;
      end if;
    end if;
    after := c.oldest_at;
    after_id := c.id;
  end loop;
  if deleted > 0 then
    perform regent.count_deleted(q.name, deleted - v_completed, v_completed, 0, 0);
  end if;
  return next;
end
$$;

-- Delete partitions that have held no message and seen no push for p_days days, the next p_limit looked at by id after
-- p_after. Nothing is lost with one: the next push makes it anew, for every group. A push that races holds the row, and the
-- partition is left alone, or it finds the partition gone. deleted: partitions; after: where to go on, null at the end.
create or replace function regent.idle_partitions_step_v1(p_days int, p_after bigint, p_limit int)
returns table (deleted int, after bigint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  c record;
  v_before timestamptz := clock_timestamp() - make_interval(days => p_days);
  v_until timestamptz;
  v_queues text[] := '{}';
begin
  deleted := 0;
  after := (select max(w.id) from (select t.id from regent.partitions t where t.id > p_after order by t.id limit p_limit) as w);
  for c in
    select w.id, w.queue_id, q.name as queue from regent.partitions w join regent.queues q on q.id = w.queue_id
      where w.id > p_after and w.id <= after and w.head = w.tail and w.last_at < v_before and w.created_at < v_before
      order by w.id
  loop
    v_until := coalesce(v_until, clock_timestamp() + interval '50 milliseconds');
    if clock_timestamp() > v_until then
      after := c.id - 1;
      exit;
    end if;
    continue when not regent.hold_groups(c.queue_id);
    perform from regent.partitions w
      where w.id = c.id and w.head = w.tail and w.last_at < v_before for update skip locked;
    continue when not found or not regent.hold_cursors(c.id)
      or exists (select from regent.cursors t where t.partition_id = c.id and t.lease_id is not null and t.available_at > clock_timestamp());
    perform regent.drop_partition(c.queue_id, c.id);
    v_queues := v_queues || c.queue;
    deleted := deleted + 1;
  end loop;
  perform regent.count_deleted(n.queue, 0, 0, 0, n.partitions)
    from (select u.queue, count(*) as partitions from unnest(v_queues) as u(queue) group by u.queue order by u.queue) as n;
  return next;
end
$$;

-- Delete at most p_limit rows of history that are more than p_days days old; how many went.
create or replace function regent.expire_history_v1(p_days int, p_limit int) returns int
language plpgsql set enable_seqscan = off as $$
declare
  n int;
begin
  delete from regent.retention_history where ctid = any(array(
    select ctid from regent.retention_history where bucket < clock_timestamp() - make_interval(days => p_days)
      order by bucket limit p_limit for update skip locked));
  get diagnostics n = row_count;
  return n;
end
$$;
