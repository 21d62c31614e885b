-- Make sure that queues and partitions exist, and say which ids they have. Names come in pairs, one per partition.
-- Queues made here take their labels from the name: up to the first dot the namespace, up to the second the task.
drop function if exists regent.ensure_partitions_v1(text[], text[]);
create or replace function regent.ensure_partitions_v2(p_queues text[], p_partitions text[])
returns table (queue_id bigint, queue text, namespace text, task text, push_version int, dedup_window_seconds int, max_size int,
               encrypted boolean, partition_id bigint, partition text, made boolean)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q record;
  v_queue bigint;
  v_version int;
  v_partition bigint;
  v_made bigint[] := '{}';
  v_name text;
begin
  for q in
    select n.queue as name, array_agg(distinct n.partition order by n.partition) as partitions
      from unnest(p_queues, p_partitions) as n(queue, partition) group by n.queue order by n.queue
  loop
    loop
      -- Shared against regent.ensure_group_v1 and regent.configure_v2, which take the queue row for themselves: a partition
      -- and a group that appear together always see one another, so no pair is left without its cursor, and a partition
      -- that appears while its queue is configured starts out with the version before, and is told, or with the one after.
      select id, push_version into v_queue, v_version from regent.queues where name = q.name for key share;
      exit when found;
      insert into regent.queues (name, namespace, task)
        values (q.name, split_part(q.name, '.', 1), split_part(q.name, '.', 2))
        on conflict (name) do nothing;
    end loop;
    foreach v_name in array q.partitions loop
      if exists (select from regent.partitions where queue_id = v_queue and name = v_name) then
        continue;
      end if;
      insert into regent.partitions (queue_id, name, push_version) values (v_queue, v_name, v_version)
        on conflict (queue_id, name) do nothing returning id into v_partition;
      if found then
        v_made := v_made || v_partition;
        insert into regent.cursors (partition_id, group_id, available_at)
          select v_partition, g.id, 'infinity' from regent.groups g where g.queue_id = v_queue order by g.id;
      end if;
    end loop;
    return query
      select qs.id, qs.name, qs.namespace, qs.task, p.push_version, qs.dedup_window_seconds, qs.max_size, qs.encryption_enabled, p.id, p.name, p.id = any(v_made)
        from regent.queues qs join regent.partitions p on p.queue_id = qs.id
        where qs.id = v_queue and p.name = any(q.partitions);
  end loop;
end
$$;

-- The consumer group of a queue, made when it is new. p_since: null for every message, else from when.
create or replace function regent.ensure_group_v1(p_queue bigint, p_name text, p_mode text, p_since timestamptz)
returns regent.groups language plpgsql set enable_seqscan = off as $$
declare
  g regent.groups;
begin
  select * into g from regent.groups where queue_id = p_queue and name = p_name;
  if found then
    return g;
  end if;
  perform from regent.queues where id = p_queue for update;
  if not found then
    return null;
  end if;
  insert into regent.groups (queue_id, name, mode, since, starts_at)
    values (p_queue, p_name, p_mode, p_since, case when p_since > clock_timestamp() then p_since end)
    on conflict (queue_id, name) do nothing;
  select * into g from regent.groups where queue_id = p_queue and name = p_name;
  return g;
end
$$;

-- The positions after one that hold messages which were deleted one by one.
create or replace function regent.deleted_after(p_partition bigint, p_position bigint) returns int8multirange
language sql stable set enable_seqscan = off as $$
  select coalesce(range_agg(int8range(t.position, t.position, '[]')), '{}')
    from regent.tombstones t where t.partition_id = p_partition and t.position > p_position
$$;

-- One bounded step of making a new group's cursor rows. Returns true when there is more to do.
create or replace function regent.seed_group_v1(p_group bigint, p_limit int) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
  g regent.groups;
  v_ids bigint[];
  v_settled bigint[];
begin
  -- Whoever else is at it does the step; there is more until it has committed.
  select * into g from regent.groups where id = p_group and seeded_to is not null for update skip locked;
  if not found then
    return exists (select from regent.groups where id = p_group and seeded_to is not null);
  end if;
  v_ids := array(select id from regent.partitions where queue_id = g.queue_id and id > g.seeded_to order by id limit p_limit);
  -- The drained mark: only a partition that no push holds may be called drained, and its head must be read in a
  -- later statement than the lock. The others start out available: at worst one empty look.
  v_settled := array(
    select id from regent.partitions where id = any(v_ids) order by id for share skip locked);
  insert into regent.cursors (partition_id, group_id, committed, acked, available_at)
    select p.id, g.id, start.position, regent.deleted_after(p.id, start.position),
           case when p.id = any(v_settled) and start.position >= p.head then 'infinity' else clock_timestamp() end
      from regent.partitions p
      cross join lateral (
        select greatest(p.tail, case when g.since is null then 0 else regent.position_before(p.id, p.head, g.since) end) as position) as start
      where p.id = any(v_ids) order by p.id
      on conflict (partition_id, group_id) do nothing;
  if cardinality(v_ids) < p_limit then
    update regent.groups set seeded_to = null where id = p_group;
    return false;
  end if;
  update regent.groups set seeded_to = v_ids[p_limit] where id = p_group;
  return true;
end
$$;
