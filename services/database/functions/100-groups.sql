-- Consumer groups for those who look after them: how far behind they are, seeking, deletion.

-- What a group that stands at p_committed has yet to read of a partition: how many messages, and when the first of them
-- was written, null when there is none. Neither what was deleted (up to p_tail) is to be read any more, nor what was
-- written before p_since, when the group is to start (null: what stands there is for it).
create or replace function regent.backlog(p_partition bigint, p_head bigint, p_tail bigint, p_committed bigint, p_acked int8multirange,
                                          p_since timestamptz, out unread bigint, out oldest_at timestamptz)
language plpgsql stable set enable_seqscan = off as $$
declare
  v_after bigint := greatest(p_committed, p_tail);
  v_acked int8multirange := p_acked;
  v_first bigint;
begin
  if p_since is not null then
    v_after := greatest(v_after, regent.position_before(p_partition, p_head, p_since));
  end if;
  if v_after > p_committed and not isempty(v_acked) then
    v_acked := v_acked - int8multirange(int8range(null, v_after, '[]'));
  end if;
  unread := regent.unread(p_head, v_after, v_acked);
  if unread > 0 then
    v_first := coalesce((select upper(r) from unnest(v_acked) as r where r @> v_after + 1), v_after + 1);
    select s.created_at into oldest_at
      from (select first + count as behind, created_at from regent.segments
              where partition_id = p_partition and first <= v_first order by first desc limit 1) as s
      where s.behind > v_first;
    if not found then
      select created_at into oldest_at from regent.segments where partition_id = p_partition and first > v_first order by first limit 1;
    end if;
  end if;
end
$$;

-- The partitions in which a group has something to read. It begins at the index of cursors that are not drained, and
-- goes from each to its own partition: what is drained costs nothing, however much of it there is. Partitions that a new
-- group has no cursor for yet count from where it will start.
create or replace function regent.lagging_partitions(p_group bigint)
returns table (partition_id bigint, partition text, lease_id uuid, unread bigint, oldest_at timestamptz, consumed_at timestamptz)
language sql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select p.id, p.name, case when c.available_at > clock_timestamp() then c.lease_id end, b.unread, b.oldest_at, c.consumed_at
    from regent.cursors c
    cross join lateral (select * from regent.partitions t where t.id = c.partition_id limit 1) as p
    cross join lateral regent.backlog(p.id, p.head, p.tail, c.committed, c.acked,
                                      (select g.starts_at from regent.groups g where g.id = p_group)) as b
    where c.group_id = p_group and c.available_at < 'infinity' and b.unread > 0
  union all
  select p.id, p.name, null, b.unread, b.oldest_at, null
    from regent.groups g
    join regent.partitions p on p.queue_id = g.queue_id and p.id > g.seeded_to
    cross join lateral regent.backlog(p.id, p.head, p.tail, 0, regent.deleted_after(p.id, 0), g.since) as b
    where g.id = p_group and b.unread > 0
      and not exists (select from regent.cursors c where c.partition_id = p.id and c.group_id = g.id)
$$;

-- How long ago, in whole seconds; 0 for null.
create or replace function regent.seconds_since(p_time timestamptz) returns bigint
language sql volatile as $$
  select greatest(coalesce(floor(extract(epoch from clock_timestamp() - p_time)), 0), 0)::bigint
$$;

-- The groups of all queues after (p_queue, p_group), by queue and group number. One call stops after about p_ms milliseconds;
-- more, on its last row, says that there are others. members: partitions the group has a cursor for; only while they are
-- being made for a new group are they fewer than the queue's partitions. Stable: it was given messages before (no cursor
-- loses that mark).
create or replace function regent.consumer_groups_v1(p_queue bigint, p_group bigint, p_ms int)
returns table (queue_id bigint, group_id bigint, consumer_group text, queue text, members bigint, partitions_with_lag bigint,
               total_lag bigint, max_time_lag bigint, state text, subscription_mode text, subscription_timestamp text,
               subscription_created_at text, more boolean)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => p_ms / 1000.0);
  v_counted bigint;         -- the queue whose partitions are counted
  v_partitions bigint;
  g record;
begin
  for g in
    select t.*, q.name as queue from regent.groups t join regent.queues q on q.id = t.queue_id
      where (t.queue_id, t.id) > (p_queue, p_group) order by t.queue_id, t.id
  loop
    if group_id is not null then
      return next;
    end if;
    queue_id := g.queue_id;
    group_id := g.id;
    consumer_group := g.name;
    queue := g.queue;
    if v_counted is distinct from g.queue_id then
      v_counted := g.queue_id;
      v_partitions := (select count(*) from regent.partitions p where p.queue_id = g.queue_id);
    end if;
    members := case when g.seeded_to is null then v_partitions else (
      select count(*) from regent.partitions p join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
        where p.queue_id = g.queue_id) end;
    select count(*), coalesce(sum(l.unread), 0), regent.seconds_since(min(l.oldest_at)) into partitions_with_lag, total_lag, max_time_lag
      from regent.lagging_partitions(g.id) l;
    state := case when max_time_lag > 300 then 'Lagging'
      when exists (select from regent.cursors c where c.group_id = g.id and c.available_at < 'infinity' and c.lease_to > 0)
        or exists (select from regent.partitions p join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
                     where p.queue_id = g.queue_id and c.lease_to > 0) then 'Stable'
      else 'Dead' end;
    subscription_mode := nullif(g.mode, 'all');
    subscription_timestamp := case when g.mode <> 'all' then regent.wire_millis(g.since) end;
    subscription_created_at := case when g.mode <> 'all' then regent.wire_millis(g.created_at) end;
    more := clock_timestamp() > v_until;
    exit when more;
  end loop;
  if group_id is not null then
    return next;
  end if;
end
$$;

-- Partitions whose oldest unread message was written more than so many seconds ago, the oldest first.
create or replace function regent.lagging_v1(p_seconds int, p_limit int, p_offset int)
returns table (consumer_group text, queue text, partition text, partition_id bigint, lease_id uuid, unread bigint, seconds bigint, oldest_at text,
               consumed_at text)
language sql volatile set enable_seqscan = off as $$
  select g.name, q.name, l.partition, l.partition_id, l.lease_id, l.unread, regent.seconds_since(l.oldest_at), regent.wire_millis(l.oldest_at),
         regent.wire_millis(l.consumed_at)
    from regent.groups g
    join regent.queues q on q.id = g.queue_id
    cross join lateral regent.lagging_partitions(g.id) as l
    where l.oldest_at < clock_timestamp() - make_interval(secs => p_seconds)
    order by l.oldest_at, g.name, q.name, l.partition limit p_limit offset p_offset
$$;

-- All partitions of a group, by queue and name. consumed: the messages it has behind it, acknowledged or skipped by a
-- seek, also those that were deleted since; what a group skipped by starting later counts once it was given any.
create or replace function regent.consumer_group_v1(p_group text, p_limit int, p_offset int)
returns table (queue text, partition text, lease_id uuid, lease_active boolean, consumed bigint, unread bigint, seconds bigint, consumed_at text)
language sql volatile set enable_seqscan = off as $$
  select s.queue, s.partition, s.lease_id, s.lease_id is not null and s.available_at > clock_timestamp(),
         case when s.committed is null or (s.since is not null and s.lease_to = 0) then 0 else s.head - regent.unread(s.head, s.committed, s.acked) end,
         b.unread, regent.seconds_since(b.oldest_at), regent.wire_millis(s.consumed_at)
    from (
      select q.name as queue, p.name as partition, p.id, p.head, p.tail, g.since, g.starts_at, c.committed, c.acked, c.lease_id, c.lease_to, c.available_at, c.consumed_at
        from regent.groups g
        join regent.queues q on q.id = g.queue_id
        join regent.partitions p on p.queue_id = q.id
        left join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
        where g.name = p_group
        order by q.name, p.name limit p_limit offset p_offset
    ) as s
    cross join lateral regent.backlog(s.id, s.head, s.tail, coalesce(s.committed, 0), coalesce(s.acked, regent.deleted_after(s.id, 0)),
                                      case when s.committed is null then s.since else s.starts_at end) as b
    order by s.queue, s.partition
$$;

-- regent.seed_group_v1 for those who have to see the end of it: whoever else is at it is waited for.
create or replace function regent.seed_group_waiting_v1(p_group bigint, p_limit int) returns boolean
language plpgsql set enable_seqscan = off as $$
begin
  perform from regent.groups where id = p_group and seeded_to is not null for update;
  if not found then
    return false;
  end if;
  return regent.seed_group_v1(p_group, p_limit);
end
$$;

-- A group that is to start at a time still to come starts at once when it is moved to before that time: pops would skip
-- what it was moved back for.
create or replace function regent.seek_before_start_v1(p_group bigint, p_to text, p_time timestamptz) returns void
language sql set enable_seqscan = off as $$
  update regent.groups set starts_at = null where id = p_group and (p_to = 'start' or (p_to = 'time' and p_time < starts_at))
$$;

-- A group that was to start later than it was made, and has: one bounded step of moving its cursors to that time, so that
-- pops need not look for it any more; over the partitions after p_after. Returns where the next goes on, null after the last.
create or replace function regent.settle_start_v1(p_group bigint, p_after bigint, p_limit int) returns bigint
language plpgsql set enable_seqscan = off as $$
declare
  g regent.groups;
  c record;
  v_ids bigint[];
  v_target bigint;
begin
  select * into g from regent.groups where id = p_group and starts_at <= clock_timestamp() and seeded_to is null;
  if not found then
    return null;
  end if;
  v_ids := array(select id from regent.partitions where queue_id = g.queue_id and id > p_after order by id limit p_limit);
  for c in
    select t.partition_id, t.committed, t.acked, p.head from regent.cursors t join regent.partitions p on p.id = t.partition_id
      where t.partition_id = any(v_ids) and t.group_id = p_group order by t.partition_id for update of t
  loop
    v_target := regent.position_before(c.partition_id, c.head, g.starts_at);
    if v_target > c.committed then
      update regent.cursors t
        set committed = v_target, acked = t.acked - int8multirange(int8range(null, v_target, '[]')),
            available_at = case when v_target >= c.head then regent.settle_cursor(c.partition_id, v_target) else t.available_at end
        where t.partition_id = c.partition_id and t.group_id = p_group;
    end if;
  end loop;
  if cardinality(v_ids) = p_limit then
    return v_ids[p_limit];
  end if;
  update regent.groups set starts_at = null where id = p_group and starts_at = g.starts_at;
  return null;
end
$$;

-- One bounded step of moving a group's cursors, over the partitions p_after < id <= p_upto of a queue.
--   p_to: end, behind the last message; start, before the first one there still is; time, behind the last message at or
--   before p_time
-- Leases end without counting as deliveries, and what was acknowledged out of order or had failed before is forgotten;
-- deleted messages stay deleted. moved: cursors there were; done_to: where the next step goes on, null after the last;
-- moved_to: when the message was written that the last of these partitions is now read up to (also without a cursor).
create or replace function regent.seek_step_v1(p_queue bigint, p_group bigint, p_to text, p_time timestamptz,
                                               p_after bigint, p_upto bigint, p_limit int)
returns table (moved int, done_to bigint, moved_to text)
language plpgsql set enable_seqscan = off as $$
declare
  v_ids bigint[];
  v_targets bigint[];
  v_at_head bigint[];
  v_settled bigint[];
begin
  v_ids := array(select id from regent.partitions where queue_id = p_queue and id > p_after and id <= p_upto order by id limit p_limit);
  done_to := case when cardinality(v_ids) = p_limit then v_ids[p_limit] end;
  perform from regent.cursors where partition_id = any(v_ids) and group_id = p_group order by partition_id for update;
  get diagnostics moved = row_count;
  select array_agg(n.id order by n.id), array_agg(n.target order by n.id), array_agg(n.id) filter (where n.target >= n.head)
    into v_ids, v_targets, v_at_head
    from (
      select p.id, p.head, greatest(p.tail, case p_to
               when 'end' then p.head
               when 'time' then regent.position_before(p.id, p.head, p_time + interval '1 microsecond')
               else 0 end) as target
        from regent.partitions p where p.id = any(v_ids)
    ) as n;
  -- The drained mark, as in regent.settle_cursor: the lock without waiting, the head in a later statement.
  v_settled := array(select id from regent.partitions where id = any(v_at_head) order by id for share skip locked);
  update regent.cursors c
    set committed = n.target, lease_id = null, retried = false,
        -- Only that something was delivered before must stay recognisable.
        lease_to = least(c.lease_to, n.target + 1),
        acked = regent.deleted_after(c.partition_id, n.target),
        available_at = case when settled.id is not null and n.target >= p.head then 'infinity' else clock_timestamp() end
    from unnest(v_ids, v_targets) as n(id, target)
    join regent.partitions p on p.id = n.id
    left join unnest(v_settled) as settled(id) on settled.id = n.id
    where c.partition_id = n.id and c.group_id = p_group
      and not (c.available_at = 'infinity' and c.committed = n.target);
  delete from regent.attempts where partition_id = any(v_ids) and group_id = p_group;
  moved_to := (select regent.wire_millis(s.created_at) from regent.segments s
                 where s.partition_id = v_ids[cardinality(v_ids)] and s.first <= v_targets[cardinality(v_ids)]
                 order by s.first desc limit 1);
  return next;
end
$$;

-- Delete a group of one queue: pops, acknowledgements and lists do not see it any more, its cursors are cleared later by
-- regent.removal_step_v1. p_keep: it starts again by its own subscription instead, under another id. No row when there is
-- no such group; else the partitions it had a cursor for. The queue row is taken for update: who has just made a
-- partition of it, and cursors with it, has committed; who makes the next one sees what is left here.
create or replace function regent.delete_group_v1(p_queue text, p_group text, p_keep boolean)
returns table (members bigint, namespace text, task text)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_queue bigint;
  g regent.groups;
begin
  select q.id, q.namespace, q.task into v_queue, namespace, task from regent.queues q where q.name = p_queue for update;
  delete from regent.groups where queue_id = v_queue and name = p_group returning * into g;
  if not found then
    return;
  end if;
  if g.seeded_to is null then
    members := (select count(*) from regent.partitions where queue_id = v_queue);
  else
    members := (select count(*) from regent.partitions p join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
                  where p.queue_id = v_queue);
  end if;
  if p_keep then
    insert into regent.groups (queue_id, name, mode, since, starts_at, created_at)
      values (g.queue_id, g.name, g.mode, g.since, case when g.since > clock_timestamp() then g.since end, g.created_at);
  end if;
  insert into regent.removals (queue_id, group_id) values (v_queue, g.id);
  return next;
end
$$;

-- Let a group start from a time wherever it has not started yet, in all its queues. Returns in how many. Cursors do not
-- move; a start still to come is put off or brought forward. Queue mode has no subscription.
create or replace function regent.update_subscription_v1(p_group text, p_since timestamptz) returns int
language plpgsql set enable_seqscan = off as $$
declare
  n int;
begin
  update regent.groups set mode = 'timestamp', since = p_since, starts_at = case when starts_at > clock_timestamp() then p_since end
    where name = p_group and p_group <> '__QUEUE_MODE__';
  get diagnostics n = row_count;
  return n;
end
$$;
