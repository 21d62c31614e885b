-- Queues, partitions and labels with their counts, and the whole in figures. Nothing is computed beforehand. Only cursors
-- that have something to read are looked at: one that is drained has read everything.

-- What every consumer group has yet to acknowledge in each partition where its cursor is not drained; processing: how much
-- of that is leased.
create or replace view regent.group_backlogs as
  select c.partition_id, c.group_id, c.committed, n.unread, least(h.held, n.unread) as processing
    from regent.cursors c
    join regent.partitions p on p.id = c.partition_id
    join regent.groups g on g.id = c.group_id
    cross join lateral (
      -- As regent.unread, which would be called for each row.
      select greatest(p.head - c.committed - case when isempty(c.acked) then 0
        else (select sum(upper(r) - lower(r)) from unnest(c.acked) as r) end, 0)::bigint as unread) as n
    cross join lateral (
      select case when c.lease_id is null or c.available_at <= clock_timestamp() then 0
        when isempty(c.acked) then greatest(c.lease_to - c.committed, 0)
        else (select coalesce(sum(upper(r) - lower(r)), 0)
                from unnest(int8multirange(int8range(c.committed, greatest(c.lease_to, c.committed), '(]')) - c.acked) as r) end::bigint as held) as h
    where c.available_at < 'infinity';

-- The counts of partitions: of these, or of these queues, or (both null) of all. pending, processing and completed are those
-- of the group with most of them; without any group everything is pending. The last three are sums over all groups.
create or replace function regent.partition_counts(p_queues bigint[], p_partitions bigint[])
returns table (partition_id bigint, queue_id bigint, total bigint, unread bigint, pending bigint, processing bigint, completed bigint,
               dead_letter bigint, all_pending bigint, all_processing bigint, all_completed bigint)
language sql stable as $$
  select p.id, p.queue_id, n.total,
         case when g.groups is null then n.total else coalesce(b.unread, 0) end,
         case when g.groups is null then n.total else coalesce(b.pending, 0) end,
         coalesce(b.processing, 0),
         case when g.groups is null then 0 when b.cursors >= g.groups then greatest(n.total - b.least_unread, 0) else n.total end,
         coalesce(d.messages, 0),
         case when g.groups is null then n.total else coalesce(b.all_unread - b.all_processing, 0) end,
         coalesce(b.all_processing, 0),
         case when g.groups is null then 0 else greatest(g.groups * n.total - coalesce(b.all_unread, 0), 0) end
    from regent.partitions p
    left join (select t.queue_id, count(*) as groups from regent.groups t group by t.queue_id) as g on g.queue_id = p.queue_id
    left join (
      select t.partition_id, count(*) as messages from regent.tombstones t join regent.partitions o on o.id = t.partition_id and t.position > o.tail
        where p_partitions is null or t.partition_id = any(p_partitions) group by t.partition_id) as t on t.partition_id = p.id
    left join (
      select l.partition_id, count(*) as cursors, max(l.unread) as unread, min(l.unread) as least_unread,
             max(l.unread - l.processing) as pending, max(l.processing) as processing,
             sum(l.unread)::bigint as all_unread, sum(l.processing)::bigint as all_processing
        from regent.group_backlogs l
        where p_partitions is null or l.partition_id = any(p_partitions) group by l.partition_id) as b on b.partition_id = p.id
    left join (
      select l.partition_id, count(*) as messages from regent.dead_letters l
        where (p_partitions is null or l.partition_id = any(p_partitions)) and (p_queues is null or l.queue_id = any(p_queues))
        group by l.partition_id) as d on d.partition_id = p.id
    cross join lateral (select p.head - p.tail - coalesce(t.messages, 0) as total) as n
    where (p_queues is null or p.queue_id = any(p_queues)) and (p_partitions is null or p.id = any(p_partitions))
$$;

-- Queues that fit, newest first, with the sums of their partitions' counts. p_search: part of the name, in any case.
-- matched: how many fit in all. Never by nested loops: how many partitions a queue has is guessed too low while the
-- tables have no statistics, and the counts would be summed up anew for each of them.
create or replace function regent.list_queues_v1(p_queue text, p_namespace text, p_task text, p_search text, p_limit int, p_offset int)
returns table (id bigint, name text, namespace text, task text, priority int, created_at text, lease_seconds int, retry_limit int,
               retry_delay_ms int, ttl_seconds int, max_size int, dead_letter_queue boolean, partitions int,
               total bigint, unread bigint, pending bigint, processing bigint, completed bigint, dead_letter bigint, matched bigint)
language plpgsql stable set enable_nestloop = off set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
  v_ids bigint[];
begin
  v_ids := array(
    select q.id from regent.queues q
      where (p_queue is null or q.name = p_queue) and (p_namespace is null or q.namespace = p_namespace)
        and (p_task is null or q.task = p_task) and (p_search is null or strpos(lower(q.name), lower(p_search)) > 0)
      order by q.created_at desc, q.id desc);
  matched := cardinality(v_ids);
  v_ids := v_ids[p_offset + 1 : p_offset::bigint + p_limit];
  return query
    select q.id, q.name, q.namespace, q.task, q.priority, regent.wire_millis(q.created_at), q.lease_seconds, q.retry_limit,
           q.retry_delay_ms, q.ttl_seconds, q.max_size, q.dead_letter_queue, coalesce(c.partitions, 0)::int,
           coalesce(c.total, 0)::bigint, coalesce(c.unread, 0)::bigint, coalesce(c.pending, 0)::bigint, coalesce(c.processing, 0)::bigint,
           coalesce(c.completed, 0)::bigint, coalesce(c.dead_letter, 0)::bigint, matched
      from unnest(v_ids) with ordinality as w(id, ord)
      join regent.queues q on q.id = w.id
      left join (
        select k.queue_id, count(*) as partitions, sum(k.total) as total, sum(k.unread) as unread, sum(k.pending) as pending,
               sum(k.processing) as processing, sum(k.completed) as completed, sum(k.dead_letter) as dead_letter
          from regent.partition_counts(v_ids, null) as k group by k.queue_id) as c on c.queue_id = q.id
      order by w.ord;
end
$$;

-- Partitions that fit, by queue and name, with their counts. p_search: part of the name, in any case. consumed: messages
-- acknowledged, of all groups together. matched: how many fit in all.
create or replace function regent.list_partitions_v1(p_queue text, p_namespace text, p_task text, p_search text, p_limit int, p_offset int)
returns table (id bigint, name text, queue text, namespace text, task text, created_at text, last_activity text, oldest_message text,
               newest_message text, total bigint, pending bigint, processing bigint, completed bigint, dead_letter bigint,
               consumed bigint, matched bigint)
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
  v_ids bigint[];
begin
  select count(*) into matched from regent.queues q join regent.partitions p on p.queue_id = q.id
    where (p_queue is null or q.name = p_queue) and (p_namespace is null or q.namespace = p_namespace)
      and (p_task is null or q.task = p_task) and (p_search is null or strpos(lower(p.name), lower(p_search)) > 0);
  v_ids := array(
    select p.id from regent.queues q join regent.partitions p on p.queue_id = q.id
      where (p_queue is null or q.name = p_queue) and (p_namespace is null or q.namespace = p_namespace)
        and (p_task is null or q.task = p_task) and (p_search is null or strpos(lower(p.name), lower(p_search)) > 0)
      order by q.name, p.name limit p_limit offset p_offset);
  return query
    select p.id, p.name, q.name, q.namespace, q.task, regent.wire_millis(p.created_at), regent.wire_millis(p.last_at),
           regent.wire_millis(p.oldest_at), case when p.head > p.tail then regent.wire_millis(p.last_at) end,
           k.total, k.pending, k.processing, k.completed, k.dead_letter, k.all_completed, matched
      from regent.partition_counts(null, v_ids) as k
      join regent.partitions p on p.id = k.partition_id
      join regent.queues q on q.id = p.queue_id
      order by q.name, p.name;
end
$$;

-- The namespaces (p_tasks: the tasks) in use, by name.
create or replace function regent.list_labels_v1(p_tasks boolean)
returns table (label text, queues int, partitions int, total bigint, pending bigint)
language plpgsql stable set enable_nestloop = off as $$
#variable_conflict use_column
begin
  return query
    select l.label, count(distinct l.id)::int, count(k.partition_id)::int, coalesce(sum(k.total), 0)::bigint, coalesce(sum(k.pending), 0)::bigint
      from (select q.id, case when p_tasks then q.task else q.namespace end as label from regent.queues q) as l
      left join regent.partition_counts(null, null) as k on k.queue_id = l.id
      where l.label <> '' group by l.label order by l.label;
end
$$;

-- Everything in figures. Counts are those of all groups together. Lags are of each group in each partition where it has
-- something to read: its messages, and for how many seconds the first of them has been there.
create or replace function regent.overview_v1()
returns table (queues int, partitions int, namespaces int, tasks int, total bigint, pending bigint, processing bigint, completed bigint,
               dead_letter bigint, time_avg float8, time_median float8, time_min float8, time_max float8,
               offset_avg float8, offset_median float8, offset_min float8, offset_max float8, at text)
language sql stable as $$
  with counts as (
    select count(*) as partitions, sum(k.total) as total, sum(k.all_pending) as pending, sum(k.all_processing) as processing,
           sum(k.all_completed) as completed
      from regent.partition_counts(null, null) as k
  ), lags as (
    select l.unread, extract(epoch from clock_timestamp() - coalesce(s.created_at, nullif(p.oldest_at, 'infinity')))::float8 as seconds
      from regent.group_backlogs l
      join regent.partitions p on p.id = l.partition_id
      left join lateral (
        select t.created_at from regent.segments t
          where l.committed > p.tail and t.partition_id = l.partition_id and t.first <= l.committed + 1 order by t.first desc limit 1) as s on true
      where l.unread > 0
  ), lag as (
    select avg(l.seconds) as time_avg, percentile_cont(0.5) within group (order by l.seconds) as time_median,
           min(l.seconds) as time_min, max(l.seconds) as time_max,
           avg(l.unread)::float8 as offset_avg, percentile_cont(0.5) within group (order by l.unread) as offset_median,
           min(l.unread)::float8 as offset_min, max(l.unread)::float8 as offset_max
      from lags l
  )
  select q.queues::int, c.partitions::int, q.namespaces::int, q.tasks::int, coalesce(c.total, 0)::bigint, coalesce(c.pending, 0)::bigint,
         coalesce(c.processing, 0)::bigint, coalesce(c.completed, 0)::bigint, (select count(*) from regent.dead_letters d where exists (select from regent.queues o where o.id = d.queue_id)),
         coalesce(l.time_avg, 0), coalesce(l.time_median, 0), coalesce(l.time_min, 0), coalesce(l.time_max, 0),
         coalesce(l.offset_avg, 0), coalesce(l.offset_median, 0), coalesce(l.offset_min, 0), coalesce(l.offset_max, 0),
         regent.wire_millis(clock_timestamp())
    from counts c cross join lag l
    cross join (
      select count(*) as queues, count(distinct nullif(namespace, '')) as namespaces, count(distinct nullif(task, '')) as tasks
        from regent.queues) as q
$$;

-- Messages per second over the last five minutes, pushed and acknowledged. What has not been written to the metrics yet
-- is not in it.
create or replace function regent.throughput_v1() returns table (ingested float8, processed float8)
language sql stable as $$
  select coalesce(sum(push_messages), 0)::float8 / 300, coalesce(sum(ack_success), 0)::float8 / 300
    from regent.queue_metrics where span_minutes = 1 and bucket > clock_timestamp() - interval '5 minutes'
$$;
