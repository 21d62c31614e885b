-- The newest message with a transaction id among the positions p_from .. p_to of a partition; null when there is none.
-- p_hash: the id's hash (services/log/hash.ts); p_id: the id as JSON text. There is no index on ids: the partition's
-- segments are walked backwards, and of each only its hashes are read, so an id that is not there costs reading the row of
-- every segment in between, but no body.
create or replace function regent.find_message_between(p_partition bigint, p_from bigint, p_to bigint, p_hash bigint, p_id text)
returns bigint language plpgsql stable set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
  s record;
  v_position bigint;
begin
  for s in
    select t.first, t.tx, t.body from regent.segments t
      where t.partition_id = p_partition and t.first <= p_to and t.first + t.count > p_from and p_hash = any(t.tx)
        and t.first >= coalesce((select b.first from regent.segments b where b.partition_id = p_partition and b.first <= p_from
                                   order by b.first desc limit 1), p_from)
      order by t.first desc
  loop
    for i in reverse cardinality(s.tx) .. 1 loop
      continue when s.tx[i] <> p_hash;
      v_position := s.first + i - 1;
      if v_position between p_from and p_to and starts_with(regent.line_at(s.body, i), '{"transactionId":' || p_id || ',')
         and not exists (select from regent.tombstones t where t.partition_id = p_partition and t.position = v_position) then
        return v_position;
      end if;
    end loop;
  end loop;
  return null;
end
$$;

-- The newest message with a transaction id in a partition, by the arguments and at the cost of find_message_between; null
-- when there is no such message or no such partition.
create or replace function regent.find_message_v1(p_partition bigint, p_hash bigint, p_id text) returns bigint
language plpgsql stable set enable_seqscan = off as $$
begin
  return (select regent.find_message_between(p.id, p.tail + 1, p.head, p_hash, p_id) from regent.partitions p where p.id = p_partition);
end
$$;

-- The stored line at a position; null when there is none any more.
create or replace function regent.stored_line(p_partition bigint, p_position bigint) returns text
language plpgsql stable set enable_seqscan = off as $$
begin
  return (
    select regent.line_at(s.body, p_position - s.first + 1)
      from regent.partitions p
      join lateral (select t.first, t.count, t.body from regent.segments t
                      where t.partition_id = p.id and t.first <= p_position order by t.first desc limit 1) s on true
      where p.id = p_partition and p_position > p.tail and p_position < s.first + s.count
        and not exists (select from regent.tombstones t where t.partition_id = p_partition and t.position = p_position));
end
$$;

-- The dead letters that a request means: those of p_ids, or those of a queue, of one partition of it, of one consumer
-- group; null where not asked for. Those of a queue that was deleted are gone with it, though their rows may be left for
-- a while: see regent.removal_step_v1.
create or replace function regent.dead_letters_of(p_ids bigint[], p_queue text, p_partition text, p_group text)
returns setof regent.dead_letters language sql stable as $$
  select d.* from regent.dead_letters d
    where (p_ids is null or d.id = any(p_ids))
      and (p_queue is null or d.queue_id = (select q.id from regent.queues q where q.name = p_queue))
      and (p_partition is null or d.partition = p_partition)
      and (p_group is null or d.consumer_group = p_group)
      and exists (select from regent.queues q where q.id = d.queue_id)
$$;

-- A page of dead letters, the newest failure first: those of dead_letters_of that failed from p_from to p_to and whose
-- error holds p_error, in any case; null where not asked for. At least one row: beyond the last page its id is null.
create or replace function regent.list_dead_letters_v1(p_ids bigint[], p_queue text, p_partition text, p_group text, p_from timestamptz,
                                                       p_to timestamptz, p_error text, p_limit int, p_offset int)
returns table (total bigint, id bigint, queue text, partition_id bigint, partition text, consumer_group text, "position" bigint, line text,
               error text, retry_count int, created_at text, failed_at text)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
  return query
    with matching as not materialized (
      select * from regent.dead_letters_of(p_ids, p_queue, p_partition, p_group) d
        where (p_from is null or d.failed_at >= p_from) and (p_to is null or d.failed_at <= p_to)
          and (p_error is null or strpos(lower(d.error), lower(p_error)) > 0)
    )
    select n.total, d.id, d.queue, d.partition_id, d.partition, d.consumer_group, d.position, d.line, d.error, d.retry_count,
           regent.wire_millis(d.created_at), regent.wire_millis(d.failed_at)
      from (select count(*) as total from matching) n
      left join (select * from matching m order by m.failed_at desc, m.id desc limit p_limit offset p_offset) d on true
      order by d.failed_at desc, d.id desc;
end
$$;

-- How many dead letters a request means, and the newest of them: what fails while they are being put back is left alone,
-- or a queue whose messages fail at once would never be done.
create or replace function regent.count_dead_letters_v1(p_ids bigint[], p_queue text, p_partition text, p_group text)
returns table (total bigint, newest bigint) language plpgsql stable set plan_cache_mode = force_custom_plan as $$
begin
  return query select count(*), max(d.id) from regent.dead_letters_of(p_ids, p_queue, p_partition, p_group) d;
end
$$;

-- The ids of the dead letters of a message, whichever group they are of. p_id: its transaction id as JSON text. Reads
-- the dead letters of the partition.
create or replace function regent.dead_letters_of_message_v1(p_partition bigint, p_id text) returns bigint[]
language sql stable set enable_seqscan = off as $$
  select array_agg(d.id) from regent.dead_letters d
    where d.partition_id = p_partition and starts_with(d.line, '{"transactionId":' || p_id || ',')
      and exists (select from regent.queues q where q.id = d.queue_id)
$$;

-- One step's worth of the dead letters of dead_letters_of, in the order of their messages, after one of them and not newer
-- than p_newest: about p_limit of them and p_bytes of lines, never a part of the entries that groups have for one message.
-- start holds at least the transaction id of the line.
create or replace function regent.redrive_candidates_v1(p_ids bigint[], p_queue text, p_partition text, p_group text, p_newest bigint,
                                                        p_after_partition bigint, p_after_position bigint, p_limit int, p_bytes bigint)
returns table (id bigint, partition_id bigint, "position" bigint, start text)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
  return query
    select c.id, c.partition_id, c.position, left(c.line, 3200)
      from (
        select d.*, coalesce(sum(octet_length(d.line)) over (
                 order by d.partition_id, d.position groups between unbounded preceding and 1 preceding), 0) as bytes_before
          from (
            select * from regent.dead_letters_of(p_ids, p_queue, p_partition, p_group) m
              where m.id <= p_newest and (m.partition_id, m.position) > (p_after_partition, p_after_position)
              order by m.partition_id, m.position fetch first p_limit rows with ties
          ) d
      ) c
      where c.bytes_before < p_bytes
      order by c.partition_id, c.position;
end
$$;

-- Append lines to a partition whose row the caller has locked as a push does. p_tx: the hashes of their transaction ids.
-- Nothing is checked for duplicates. The caller wakes drained cursors afterwards. Segments are cut as pushes cut them.
create or replace function regent.append_lines(p_partition bigint, p_tx bigint[], p_lines text[]) returns void
language plpgsql set enable_seqscan = off as $$
declare
  v_count int := cardinality(p_lines);
  v_at timestamptz := clock_timestamp();
  v_base bigint;
  v_start int := 1;
  v_size int := 0;
begin
  update regent.partitions
    set head = head + v_count, last_at = greatest(last_at, v_at), oldest_at = least(oldest_at, greatest(last_at, v_at))
    where id = p_partition
    returning head - v_count, last_at into v_base, v_at;
  for i in 1 .. v_count loop
    v_size := v_size + length(p_lines[i]);
    if i = v_count or i - v_start + 1 >= 250 or v_size + length(p_lines[i + 1]) > 65536 then
      insert into regent.segments (partition_id, first, count, bytes, created_at, tx, body)
        select p_partition, v_base + v_start, i - v_start + 1, octet_length(n.body), v_at, p_tx[v_start : i], n.body
          from (select array_to_string(p_lines[v_start : i], E'\n') as body) as n;
      v_start := i + 1;
      v_size := 0;
    end if;
  end loop;
end
$$;

-- Put dead letters back: each message goes to the end of its partition as a new one, with the same transaction id, trace
-- id, producer and data, and its dead letters are deleted, all in one transaction. The entries that several groups have
-- for one message put it back once. Deduplication and the queue's size limit are passed over on purpose: the message is
-- known, and it is to come again.
-- p_hashes: the hash of each one's transaction id. A partition that was deleted is made anew. What is gone, or being put
-- back or purged by somebody else, is left out, so of several who do this at once exactly one succeeds with each.
-- A row per partition written to; redriven: dead letters that went.
create or replace function regent.redrive_v1(p_ids bigint[], p_hashes bigint[])
returns table (queue text, namespace text, task text, partition text, redriven int)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  r record;
  v_queues text[];
  v_partitions text[];
  v_targets bigint[];
begin
  -- Locks go in the order of all writers: queues, then partitions by id, then (dead letters and) cursors.
  perform from regent.queues q
    where q.id in (select d.queue_id from regent.dead_letters d where d.id = any(p_ids)
                     and not exists (select from regent.partitions p where p.queue_id = d.queue_id and p.name = d.partition))
    order by q.name for key share;
  if found then
    select array_agg(n.name), array_agg(n.partition) into v_queues, v_partitions
      from (select distinct q.name, d.partition from regent.dead_letters d join regent.queues q on q.id = d.queue_id
              where d.id = any(p_ids)
                and not exists (select from regent.partitions p where p.queue_id = d.queue_id and p.name = d.partition)) as n;
    perform from regent.ensure_partitions_v2(v_queues, v_partitions);
  end if;
  v_targets := array(
    select p.id from regent.partitions p
      where (p.queue_id, p.name) in (select d.queue_id, d.partition from regent.dead_letters d where d.id = any(p_ids))
      order by p.id for no key update);

  for r in
    with taken as (
      delete from regent.dead_letters t where t.id in (
        select d.id from regent.dead_letters d
          where d.id = any(p_ids)
            and exists (select from regent.partitions p where p.queue_id = d.queue_id and p.name = d.partition and p.id = any(v_targets))
          for update skip locked)
      returning t.*
    )
    select p.id, p.name as partition, q.name as queue, q.namespace, q.task, sum(m.entries)::int as redriven,
           array_agg(m.hash order by m.partition_id, m.position) as tx, array_agg(m.line order by m.partition_id, m.position) as lines
      from (
        select t.queue_id, t.partition, t.partition_id, t.position, count(*) as entries, min(n.hash) as hash, (array_agg(t.line))[1] as line
          from taken t join unnest(p_ids, p_hashes) as n(id, hash) on n.id = t.id
          group by t.queue_id, t.partition, t.partition_id, t.position
      ) m
      join regent.partitions p on p.queue_id = m.queue_id and p.name = m.partition
      join regent.queues q on q.id = m.queue_id
      group by p.id, q.id
      order by p.id
  loop
    perform regent.append_lines(r.id, r.tx, r.lines);
    queue := r.queue;
    namespace := r.namespace;
    task := r.task;
    partition := r.partition;
    redriven := r.redriven;
    return next;
  end loop;

  -- Only drained cursors are touched, after the partitions are locked: see the drained mark in regent.settle_cursor.
  update regent.cursors set available_at = clock_timestamp()
    where partition_id = any(v_targets) and available_at = 'infinity';
end
$$;

-- Delete at most p_limit of the dead letters that dead_letters_of would give and that are not newer than p_newest, the
-- oldest failures first; how many went. What somebody else is putting back or deleting is passed over and left to them.
create or replace function regent.purge_dead_letters_v1(p_ids bigint[], p_queue text, p_partition text, p_group text, p_newest bigint, p_limit int)
returns int language plpgsql set plan_cache_mode = force_custom_plan as $$
declare
  n int;
begin
  -- Written out, as only rows of a table can be passed over when they are locked.
  delete from regent.dead_letters where id = any(array(
    select d.id from regent.dead_letters d
      where (p_ids is null or d.id = any(p_ids))
        and (p_queue is null or d.queue_id = (select q.id from regent.queues q where q.name = p_queue))
        and (p_partition is null or d.partition = p_partition)
        and (p_group is null or d.consumer_group = p_group)
        and exists (select from regent.queues q where q.id = d.queue_id)
        and d.id <= p_newest
      order by d.failed_at, d.id limit p_limit for update skip locked));
  get diagnostics n = row_count;
  return n;
end
$$;

-- Delete at most p_limit dead letters that failed more than p_days days ago; how many went. 0 days: they are kept.
create or replace function regent.expire_dead_letters_v1(p_days int, p_limit int) returns int
language plpgsql set enable_seqscan = off as $$
declare
  n int;
begin
  delete from regent.dead_letters where id = any(array(
    select d.id from regent.dead_letters d
      where p_days > 0 and d.failed_at < clock_timestamp() - make_interval(days => p_days)
      order by d.failed_at limit p_limit for update skip locked));
  get diagnostics n = row_count;
  return n;
end
$$;

-- A message that is not dead-lettered is to be had again at once by the groups that wait to retry it. Groups that hold
-- it, wait for nothing, or are done with it stay as they are. outcome: unknown (no such message) or ok; made_available:
-- the groups that changed.
create or replace function regent.retry_message_v1(p_partition bigint, p_hash bigint, p_id text)
returns table (outcome text, queue text, namespace text, task text, partition text, made_available text[])
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_position bigint := regent.find_message_v1(p_partition, p_hash, p_id);
  v_groups bigint[];
begin
  outcome := 'unknown';
  if v_position is not null then
    select 'ok', q.name, q.namespace, q.task, p.name into outcome, queue, namespace, task, partition
      from regent.partitions p join regent.queues q on q.id = p.queue_id where p.id = p_partition;
  end if;
  v_groups := array(
    select c.group_id from regent.cursors c
      where c.partition_id = p_partition and c.lease_id is null and c.available_at > clock_timestamp() and c.available_at < 'infinity'
        and c.committed < v_position and not c.acked @> v_position
        and exists (select from regent.attempts t where t.partition_id = c.partition_id and t.group_id = c.group_id and t.position = v_position)
      order by c.group_id for update);
  update regent.cursors set available_at = clock_timestamp() where partition_id = p_partition and group_id = any(v_groups);
  made_available := array(select g.name from regent.groups g where g.id = any(v_groups) order by g.name);
  return next;
end
$$;

-- Move a message to the dead letters of the groups that have not acknowledged it, or of p_group alone: the dead letter
-- is written and the message acknowledged for the group in one transaction. A queue without groups gets the one that
-- unnamed consumers share, or the message would come to them all the same. What is leased may be moved; its holder's
-- acknowledgement of it is then one of a message that is acknowledged already.
-- outcome: moved; already (dead-lettered before); acknowledged (by all it is asked for); off (the queue keeps no dead
-- letters); unknown, unknown_group (no such message or group). moved: the groups.
create or replace function regent.move_to_dead_letters_v1(p_partition bigint, p_hash bigint, p_id text, p_group text, p_error text)
returns table (outcome text, queue text, namespace text, task text, partition text, moved text[])
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  c_unnamed constant text := '__QUEUE_MODE__';
  v_position bigint := regent.find_message_v1(p_partition, p_hash, p_id);
  v_queue regent.queues;
  v_head bigint;
  v_line text;
  v_at timestamptz;
  v_groups bigint[];
  c record;
  v_acked int8multirange;
  v_committed bigint;
  v_live boolean;
  v_released boolean;
  v_until timestamptz;
begin
  outcome := 'unknown';
  moved := '{}';
  select q.* into v_queue from regent.partitions p join regent.queues q on q.id = p.queue_id where p.id = p_partition;
  if v_position is null or v_queue.id is null then
    return next;
    return;
  end if;
  queue := v_queue.name;
  namespace := v_queue.namespace;
  task := v_queue.task;
  if not v_queue.dead_letter_queue then
    outcome := 'off';
    return next;
    return;
  end if;
  if p_group = c_unnamed or (p_group is null and not exists (select from regent.groups g where g.queue_id = v_queue.id)) then
    perform regent.ensure_group_v1(v_queue.id, c_unnamed, 'all', null);
  end if;
  v_groups := array(select g.id from regent.groups g where g.queue_id = v_queue.id and (p_group is null or g.name = p_group) order by g.id);
  if cardinality(v_groups) = 0 then
    outcome := 'unknown_group';
    return next;
    return;
  end if;

  -- Whoever deletes the partition or messages in it is waited for.
  select p.name into partition from regent.partitions p where p.id = p_partition for share;
  if not found then
    return next;
    return;
  end if;
  -- A group's cursors may still be in the making. Not drained until a pop has looked.
  insert into regent.cursors (partition_id, group_id, committed, acked, available_at)
    select p.id, g.id, start.position, regent.deleted_after(p.id, start.position), clock_timestamp()
      from regent.groups g
      join regent.partitions p on p.id = p_partition
      cross join lateral (
        select greatest(p.tail, case when g.since is null then 0 else regent.position_before(p.id, p.head, g.since) end) as position) as start
      where g.id = any(v_groups) and g.seeded_to is not null order by g.id
    on conflict (partition_id, group_id) do nothing;

  outcome := 'acknowledged';
  for c in
    select t.*, g.name as group_name from regent.cursors t join regent.groups g on g.id = t.group_id
      where t.partition_id = p_partition and t.group_id = any(v_groups) order by t.group_id for update of t
  loop
    if v_position <= c.committed or c.acked @> v_position then
      if outcome = 'acknowledged' and exists (
        select from regent.dead_letters d
          where d.partition_id = p_partition and d.consumer_group = c.group_name and d.position = v_position) then
        outcome := 'already';
      end if;
      continue;
    end if;
    v_line := regent.stored_line(p_partition, v_position);
    if v_line is null then
      outcome := 'unknown';
      exit;
    end if;
    select s.created_at into v_at from regent.segments s
      where s.partition_id = p_partition and s.first <= v_position order by s.first desc limit 1;
    insert into regent.dead_letters (queue_id, queue, partition_id, partition, consumer_group, position, line, error, retry_count, created_at)
      select v_queue.id, v_queue.name, p_partition, partition, c.group_name, v_position, v_line, p_error,
             coalesce((select t.failures from regent.attempts t
                         where t.partition_id = p_partition and t.group_id = c.group_id and t.position = v_position), 0), v_at
      on conflict (partition_id, consumer_group, position) do nothing;

    -- As an acknowledgement does it: see regent.ack_v1.
    v_acked := c.acked + int8multirange(int8range(v_position, v_position, '[]'));
    v_committed := c.committed;
    if v_acked @> v_committed + 1 then
      select upper(n) - 1 into v_committed from unnest(v_acked) as n where n @> (c.committed + 1);
    end if;
    v_acked := v_acked - int8multirange(int8range(null, v_committed, '[]'));
    v_live := c.lease_id is not null and c.available_at > clock_timestamp();
    v_released := v_live and v_committed >= c.lease_to;
    v_until := c.available_at;
    select p.head into v_head from regent.partitions p where p.id = p_partition;
    if v_committed >= v_head and (v_released or not v_live) then
      v_released := true;
      v_until := regent.settle_cursor(p_partition, v_committed);
    elsif v_released then
      v_until := clock_timestamp();
    end if;
    delete from regent.attempts t
      where c.retried and t.partition_id = p_partition and t.group_id = c.group_id and (t.position <= v_committed or t.position = v_position);
    update regent.cursors t
      set committed = v_committed, acked = v_acked, available_at = v_until, lease_id = case when v_released then null else t.lease_id end
      where t.partition_id = p_partition and t.group_id = c.group_id;
    outcome := 'moved';
    moved := moved || c.group_name;
  end loop;
  return next;
end
$$;
