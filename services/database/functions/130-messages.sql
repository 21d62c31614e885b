-- Browsing the log, and deleting from it.

-- What the messages of a partition have come to, as sets of positions. done, leased: by queue mode where the queue is
-- used that way, otherwise done is what all its groups have passed, and nothing counts as leased. matches: those with the
-- status p_status, or all when it is null. A message with a dead letter is dead, whatever else became of it.
create or replace function regent.message_sets(p_partition bigint, p_status text)
returns table (matches int8multirange, dead int8multirange, done int8multirange, leased int8multirange,
               queue_done int8multirange, lease_until timestamptz)
language plpgsql stable set enable_seqscan = off as $$
begin
  return query select case when p_status is null then alive.set
           when p_status = 'dead_letter' then alive.set * d.set
           when p_status = 'completed' then alive.set * s.done - d.set
           when p_status = 'processing' then alive.set * s.leased - s.done - d.set
           when p_status = 'pending' then alive.set - s.done - s.leased - d.set
         end, d.set, s.done, s.leased, s.queue_done, c.lease_until
    from regent.partitions p
    cross join lateral (
      select int8multirange(int8range(p.tail, p.head, '(]')) - regent.deleted_after(p.id, p.tail) as set) as alive
    cross join lateral (
      select coalesce(range_agg(int8range(l.position, l.position, '[]')), '{}') as set
        from regent.dead_letters l where l.partition_id = p.id) as d
    cross join lateral (
      select bool_or(g.name = '__QUEUE_MODE__') as has_queue_mode,
             range_intersect_agg(passed.set) filter (where g.name = '__QUEUE_MODE__') as queue_done,
             range_intersect_agg(passed.set) filter (where g.name <> '__QUEUE_MODE__') as groups_done,
             range_intersect_agg(held.set) filter (where g.name = '__QUEUE_MODE__') as leased,
             max(k.available_at) filter (where g.name = '__QUEUE_MODE__' and not isempty(held.set)) as lease_until
        from regent.groups g
        left join regent.cursors k on k.partition_id = p.id and k.group_id = g.id
        cross join lateral (
          select int8multirange(int8range(0, coalesce(k.committed, 0), '[]')) + coalesce(k.acked, '{}') as set) as passed
        cross join lateral (
          select case when k.lease_id is not null and k.available_at > clock_timestamp() and k.available_at < 'infinity'
            then int8multirange(int8range(0, k.lease_to, '[]')) - passed.set else '{}'::int8multirange end as set) as held
        where g.queue_id = p.queue_id) as c
    cross join lateral (
      select coalesce(c.queue_done, '{}') as queue_done, coalesce(c.leased, '{}') as leased,
             coalesce(case when c.has_queue_mode then c.queue_done else c.groups_done end, '{}') as done) as s
    where p.id = p_partition;
end
$$;

-- The status of a position, given the sets it may be in.
create or replace function regent.status_of(p_position bigint, p_dead int8multirange, p_done int8multirange, p_leased int8multirange)
returns text language sql immutable parallel safe as $$
  select case when p_dead @> p_position then 'dead_letter' when p_done @> p_position then 'completed'
    when p_leased @> p_position then 'processing' else 'pending' end
$$;

-- The partitions that may hold messages which list_messages_v1 is asked for, those first that were written to last.
create or replace function regent.partitions_to_list(p_queue text, p_partition text, p_namespace text, p_task text, p_status text,
                                                     p_from timestamptz, p_before timestamptz)
returns table (id bigint, head bigint, last_at timestamptz)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
  return query
    select t.id, t.head, t.last_at from regent.queues q join regent.partitions t on t.queue_id = q.id
      where (p_queue is null or q.name = p_queue) and (p_partition is null or t.name = p_partition)
        and (p_namespace is null or q.namespace = p_namespace) and (p_task is null or q.task = p_task)
        and t.head > t.tail and t.last_at >= p_from and t.oldest_at < p_before
        and (p_status is distinct from 'dead_letter' or t.id in (select d.partition_id from regent.dead_letters d))
        and (p_status is distinct from 'processing' or t.id in (
          select c.partition_id from regent.cursors c join regent.groups g on g.id = c.group_id
            where g.name = '__QUEUE_MODE__' and c.lease_id is not null and c.available_at > clock_timestamp() and c.available_at < 'infinity'))
        -- Who has drained a partition has passed everything in it.
        and (p_status is distinct from 'pending' or not exists (select from regent.groups g where g.queue_id = t.queue_id) or t.id in (
          select c.partition_id from regent.cursors c join regent.groups g on g.id = c.group_id
            where c.available_at < 'infinity' and (g.name = '__QUEUE_MODE__'
              or not exists (select from regent.groups o where o.queue_id = g.queue_id and o.name = '__QUEUE_MODE__'))))
      order by least(t.last_at, p_before) desc, t.id desc;
end
$$;

-- The newest messages of all partitions that fit; what is null is not asked for. p_from is inclusive, p_before is not.
-- head: the stored line without the payload.
-- Partitions are taken by when they were last written to, and their segments newest first, until no other can hold
-- anything newer than what has been found: what is older is never read. Lines are only cut for what is returned.
create or replace function regent.list_messages_v1(p_queue text, p_partition text, p_namespace text, p_task text, p_status text,
                                                   p_from timestamptz, p_before timestamptz, p_limit int, p_offset int)
returns table (partition_id bigint, "position" bigint, queue text, partition text, namespace text, task text, priority int,
               created_at text, head text, status text, queue_status text, consumed_by int, total_groups int, lease_expires_at text)
language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
#variable_conflict use_column
declare
  v_want bigint := p_offset::bigint + p_limit;
  v_floor timestamptz := p_from;   -- nothing older than this can be among those wanted
  v_ids bigint[] := '{}';          -- slices of segments that hold matches: partition, first, last, time and number of matches
  v_firsts bigint[] := '{}';
  v_lasts bigint[] := '{}';
  v_times timestamptz[] := '{}';
  v_counts bigint[] := '{}';
  v_fresh bigint := 0;             -- matches since they were last sorted
  v_here bigint;
  v_matches int8multirange;
  v_slice int8multirange;
  v_last bigint;
  v_n bigint;
  p record;
  s record;
begin
  for p in
    select * from regent.partitions_to_list(p_queue, p_partition, p_namespace, p_task, p_status, p_from, p_before)
  loop
    exit when least(p.last_at, p_before) < v_floor;
    v_last := p.head;
    if p.last_at >= p_before then
      v_last := regent.position_before(p.id, p.head, p_before);
      continue when (select t.created_at from regent.segments t where t.partition_id = p.id and t.first <= v_last
                       order by t.first desc limit 1) < v_floor;
    end if;
    select m.matches into v_matches from regent.message_sets(p.id, p_status) m;
    continue when v_matches is null or isempty(v_matches);
    v_last := least(v_last, upper(v_matches) - 1);
    v_here := 0;
    for s in
      select t.first, t.first + t.count - 1 as last, t.created_at from regent.segments t
        where t.partition_id = p.id and t.first <= v_last order by t.first desc
    loop
      exit when s.created_at < v_floor or s.last < lower(v_matches) or v_here >= v_want;
      v_slice := v_matches * int8multirange(int8range(s.first, least(s.last, v_last), '[]'));
      continue when isempty(v_slice);
      v_n := (select sum(upper(r) - lower(r)) from unnest(v_slice) as r);
      v_ids := v_ids || p.id;
      v_firsts := v_firsts || s.first;
      v_lasts := v_lasts || (upper(v_slice) - 1);
      v_times := v_times || s.created_at;
      v_counts := v_counts || v_n;
      v_here := v_here + v_n;
      v_fresh := v_fresh + v_n;
    end loop;
    if v_fresh >= v_want then
      select array_agg(k.id), array_agg(k.first), array_agg(k.last), array_agg(k.at), array_agg(k.n), greatest(v_floor, min(k.at))
        into v_ids, v_firsts, v_lasts, v_times, v_counts, v_floor
        from (
          select u.*, sum(u.n) over (order by u.at desc, u.id desc, u.first desc) - u.n as before
            from unnest(v_ids, v_firsts, v_lasts, v_times, v_counts) as u(id, first, last, at, n)) as k
        where k.before < v_want;
      v_fresh := 0;
    end if;
  end loop;

  return query
    with slices as (
      select u.*, sum(u.n) over (order by u.at desc, u.id desc, u.first desc) - u.n as before
        from unnest(v_ids, v_firsts, v_lasts, v_times, v_counts) as u(id, first, last, at, n)
    ), wanted as (
      select * from slices where before < v_want and before + n > p_offset
    ), sets as materialized (
      select w.id, m.* from (select distinct id from wanted) as w cross join lateral regent.message_sets(w.id, p_status) as m
    ), ranked as (
      select w.id, w.first, x.position, w.before + row_number() over (partition by w.id, w.first order by x.position desc) as rank
        from wanted w join sets m on m.id = w.id
        cross join lateral generate_series(w.first, w.last) as x(position)
        where m.matches @> x.position
    ), page as materialized (
      select * from ranked where rank > p_offset and rank <= v_want
    ), lines as (
      -- A segment is cut once for all of its lines.
      select k.id, k.first + l.ord - 1 as position, s.created_at, l.line
        from (select distinct id, first from page) as k
        join regent.segments s on s.partition_id = k.id and s.first = k.first
        cross join lateral string_to_table(s.body, E'\n') with ordinality as l(line, ord)
    )
    select r.id, r.position, q.name, t.name, q.namespace, q.task, q.priority, regent.wire_millis(l.created_at),
           split_part(l.line, ',"data":', 1) || '}',
           regent.status_of(r.position, m.dead, m.done, m.leased), regent.status_of(r.position, m.dead, m.queue_done, m.leased),
           consumed.by::int, consumed.groups::int, case when m.leased @> r.position then regent.wire_millis(m.lease_until) end
      from page r
      join lines l on l.id = r.id and l.position = r.position
      join sets m on m.id = r.id
      join regent.partitions t on t.id = r.id
      join regent.queues q on q.id = t.queue_id
      cross join lateral (
        select count(*) filter (where c.committed >= r.position or c.acked @> r.position) as by, count(*) as groups
          from regent.groups g left join regent.cursors c on c.partition_id = r.id and c.group_id = g.id
          where g.queue_id = q.id and g.name <> '__QUEUE_MODE__') as consumed
      order by r.rank;
end
$$;

-- How the queues that fit are consumed: in queue mode, and by how many named groups.
create or replace function regent.message_mode_v1(p_queue text, p_namespace text, p_task text)
returns table (has_queue_mode boolean, groups int)
language sql stable as $$
  select coalesce(bool_or(g.name = '__QUEUE_MODE__'), false), count(distinct g.name) filter (where g.name <> '__QUEUE_MODE__')::int
    from regent.queues q join regent.groups g on g.queue_id = q.id
    where (p_queue is null or q.name = p_queue) and (p_namespace is null or q.namespace = p_namespace) and (p_task is null or q.task = p_task)
$$;

-- One message with what became of it; of one that is only left as a dead letter, that copy. p_id is its transaction id
-- as JSON text, p_hash the hash of it. groups: the named groups of its queue as a JSON list. No row: no such message.
create or replace function regent.message_v1(p_partition bigint, p_hash bigint, p_id text)
returns table ("position" bigint, queue text, partition text, namespace text, task text, line text, created_at text, status text,
               error_message text, retry_count int, lease_expires_at text, lease_seconds int, retry_limit int, retry_delay_ms int,
               ttl_seconds int, priority int, has_queue_mode boolean, groups json)
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_position bigint := regent.find_message_v1(p_partition, p_hash, p_id);
  m record;
  d regent.dead_letters;
  v_line text;
  v_created_at timestamptz;
begin
  if v_position is null then
    select l.* into d from regent.dead_letters l
      where l.partition_id = p_partition and starts_with(l.line, '{"transactionId":' || p_id || ',')
        -- Those of a queue that was deleted are gone with it, though their rows may be left for a while.
        and exists (select from regent.queues q where q.id = l.queue_id)
      order by l.id desc limit 1;
  else
    select l.* into d from regent.dead_letters l
      where l.partition_id = p_partition and l.position = v_position order by l.id desc limit 1;
    select t.created_at, regent.line_at(t.body, v_position - t.first + 1) into v_created_at, v_line from regent.segments t
      where t.partition_id = p_partition and t.first <= v_position order by t.first desc limit 1;
  end if;
  if v_position is null and d.id is null then
    return;
  end if;
  select * into m from regent.message_sets(p_partition, null);
  return query
    select coalesce(v_position, d.position), coalesce(q.name, d.queue), coalesce(p.name, d.partition), coalesce(q.namespace, ''),
           coalesce(q.task, ''), coalesce(v_line, d.line), regent.wire_millis(coalesce(v_created_at, d.created_at)),
           case when d.id is not null then 'dead_letter' else regent.status_of(v_position, '{}', m.done, m.leased) end,
           d.error, d.retry_count, case when m.leased @> v_position then regent.wire_millis(m.lease_until) end,
           q.lease_seconds, q.retry_limit, q.retry_delay_ms, q.ttl_seconds, q.priority,
           exists (select from regent.groups g where g.queue_id = q.id and g.name = '__QUEUE_MODE__'),
           coalesce((
             select json_agg(json_build_object('name', g.name,
                 'consumed', coalesce(c.committed >= at.position or c.acked @> at.position, false),
                 'leaseExpiresAt', case when c.lease_id is not null and c.available_at > clock_timestamp() and c.lease_to >= at.position
                   and c.committed < at.position and not c.acked @> at.position then regent.wire_millis(c.available_at) end) order by g.name)
               from regent.groups g left join regent.cursors c on c.partition_id = p_partition and c.group_id = g.id
               where g.queue_id = q.id and g.name <> '__QUEUE_MODE__'), '[]')
      from (select coalesce(v_position, d.position) as position) as at
      left join regent.partitions p on p.id = p_partition
      left join regent.queues q on q.id = coalesce(p.queue_id, d.queue_id);
end
$$;

-- Lock a partition from which messages are to be deleted. Consumer groups that are being made could get a cursor that
-- nobody tells of the deletion. So none begins (the queue row is shared, and a new group wants it alone), and whoever
-- makes cursors for one now (it holds the group's row) is waited for. No row: no such partition.
create or replace function regent.lock_for_deletion(p_partition bigint) returns setof regent.partitions
language plpgsql set enable_seqscan = off as $$
declare
  v_queue bigint;
begin
  select queue_id into v_queue from regent.partitions where id = p_partition;
  perform from regent.queues where id = v_queue for key share;
  perform from regent.groups where queue_id = v_queue and seeded_to is not null order by id for share;
  return query select * from regent.partitions where id = p_partition for no key update;
end
$$;

-- Delete one message with its dead letters and traces; whether there was one, or a dead letter of one. Its line is blanked,
-- so the payload is gone and the id is free again, and its position counts as acknowledged by every group: what was leased
-- with it stays leased, and a group that had only this one left is through. available: to some group more can be had
-- than before.
-- All cursors are locked, those that have passed it too: one that is taken back meanwhile would read it again.
create or replace function regent.delete_message_v1(p_partition bigint, p_hash bigint, p_id text)
returns table (deleted boolean, queue text, partition text, namespace text, task text, available boolean)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  p regent.partitions;
  c regent.cursors;
  v_searched bigint;        -- up to where the first search went
  v_position bigint;
  v_newer bigint;
  v_committed bigint;
  v_acked int8multirange;
  v_until timestamptz;
  v_released boolean;
begin
  available := false;
  -- The search may take long: it is done before anything is locked, and afterwards for what has come since.
  select head into v_searched from regent.partitions where id = p_partition;
  v_position := regent.find_message_v1(p_partition, p_hash, p_id);
  select * into p from regent.lock_for_deletion(p_partition);
  v_newer := regent.find_message_between(p_partition, greatest(v_searched, p.tail) + 1, p.head, p_hash, p_id);
  if v_newer is not null then
    v_position := v_newer;
  elsif v_position <= p.tail or exists (select from regent.tombstones t where t.partition_id = p_partition and t.position = v_position) then
    v_position := regent.find_message_v1(p_partition, p_hash, p_id);
  end if;
  select q.name, p.name, q.namespace, q.task into queue, partition, namespace, task from regent.queues q where q.id = p.queue_id;

  if v_position is not null then
    insert into regent.tombstones (partition_id, position) values (p_partition, v_position) on conflict do nothing;
    update regent.segments t set body = cut.body, bytes = octet_length(cut.body)
      from (
        select s.first, string_agg(case when s.first + l.ord - 1 = v_position
            then '{"transactionId":"","traceId":null,"producerSub":null,"data":null}' else l.line end, E'\n' order by l.ord) as body
          from (select * from regent.segments where partition_id = p_partition and first <= v_position order by first desc limit 1) as s
          cross join lateral string_to_table(s.body, E'\n') with ordinality as l(line, ord) group by s.first) as cut
      where t.partition_id = p_partition and t.first = cut.first;
    perform regent.delete_traces(p_partition, v_position, v_position);

    for c in select * from regent.cursors t where t.partition_id = p_partition order by t.group_id for update loop
      continue when c.committed >= v_position or c.acked @> v_position;
      v_acked := c.acked + int8multirange(int8range(v_position, v_position, '[]'));
      v_committed := c.committed;
      if v_acked @> v_committed + 1 then
        select upper(n) - 1 into v_committed from unnest(v_acked) as n where n @> (c.committed + 1);
      end if;
      v_until := c.available_at;
      -- A lease ends with its last message, and a cursor without one is drained at the head.
      v_released := v_committed >= case when c.lease_id is not null and c.available_at > clock_timestamp() then c.lease_to else p.head end;
      if v_released then
        v_until := case when p.head > v_committed then clock_timestamp() else regent.settle_cursor(p_partition, v_committed) end;
        available := available or p.head > v_committed;
      end if;
      if c.retried then
        delete from regent.attempts t
          where t.partition_id = p_partition and t.group_id = c.group_id and (t.position <= v_committed or t.position = v_position);
      end if;
      update regent.cursors t
        set committed = v_committed, acked = v_acked - int8multirange(int8range(null, v_committed, '[]')), available_at = v_until,
            retried = c.retried and exists (
              select from regent.attempts a where a.partition_id = p_partition and a.group_id = c.group_id),
            lease_id = case when v_released then null else t.lease_id end
        where t.partition_id = p_partition and t.group_id = c.group_id;
    end loop;
  end if;
  -- Once the cursors are locked nobody writes one for this message any more.
  delete from regent.dead_letters l
    where l.partition_id = p_partition and (l.position = v_position or starts_with(l.line, '{"transactionId":' || p_id || ','));
  deleted := found or v_position is not null;
  return next;
end
$$;

-- Delete all messages of the next partitions of a queue, in order of their ids after p_after: of the one called p_partition,
-- or of all. The tail moves up to the head and every cursor with it, so nothing of it can be read any more; segments are
-- left to regent.drop_cleared_v1, so that this is short. next: where to go on, null after the last one. Dead letters stay.
create or replace function regent.clear_partitions_v1(p_queue text, p_partition text, p_after bigint, p_limit int)
returns table (known boolean, cleared bigint, "next" bigint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  p regent.partitions;
  v_queue bigint;
  v_ids bigint[];
  v_id bigint;
begin
  cleared := 0;
  select q.id into v_queue from regent.queues q where q.name = p_queue;
  v_ids := array(
    select t.id from regent.partitions t
      where t.queue_id = v_queue and t.id > p_after and (p_partition is null or t.name = p_partition) order by t.id limit p_limit);
  known := v_queue is not null and (p_partition is null or cardinality(v_ids) > 0);
  -- All partitions before any cursor, as everybody locks them.
  foreach v_id in array v_ids loop
    perform regent.lock_for_deletion(v_id);
  end loop;
  for p in select * from regent.partitions t where t.id = any(v_ids) and t.head > t.tail order by t.id loop
    cleared := cleared + p.head - p.tail
      - (select count(*) from regent.tombstones t where t.partition_id = p.id and t.position > p.tail);
    update regent.partitions set tail = p.head, oldest_at = 'infinity' where id = p.id;
    delete from regent.tombstones where partition_id = p.id;
    perform regent.delete_traces(p.id, p.tail + 1, p.head);
    -- No push is under way while the partition is locked: all of them may be called drained.
    perform from regent.cursors t where t.partition_id = p.id order by t.group_id for update;
    update regent.cursors t
      set committed = p.head, lease_id = null, lease_to = least(lease_to, p.head), acked = '{}', retried = false, available_at = 'infinity'
      where t.partition_id = p.id and (t.committed < p.head or t.available_at < 'infinity');
    delete from regent.attempts where partition_id = p.id;
  end loop;
  next := case when cardinality(v_ids) = p_limit then v_ids[p_limit] end;
  return next;
end
$$;

-- Delete at most p_limit segments that clearing has left in the partitions p_after < id <= p_to of a queue, or the one called
-- p_partition of them; how many there were.
create or replace function regent.drop_cleared_v1(p_queue text, p_partition text, p_after bigint, p_to bigint, p_limit int) returns int
language plpgsql set enable_seqscan = off as $$
declare
  v_count int;
begin
  delete from regent.segments s
    using (
      select old.partition_id, old.first
        from regent.queues q
        join regent.partitions t on t.queue_id = q.id
        cross join lateral (
          select partition_id, first from regent.segments
            where partition_id = t.id and first <= t.tail and first + count - 1 <= t.tail order by first limit p_limit) as old
        where q.name = p_queue and t.id > p_after and (p_to is null or t.id <= p_to) and (p_partition is null or t.name = p_partition)
        limit p_limit) as gone
    where s.partition_id = gone.partition_id and s.first = gone.first;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
