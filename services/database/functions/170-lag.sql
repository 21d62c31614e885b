-- How far consumer groups are behind, for those who ask every few seconds: bounded, however much there is.

-- The lag of each group, by queue and group number, until about p_ms milliseconds have passed; groups that come after that
-- have no row. partial: more than p_partitions cursors of the group are not drained, or the time was over: the numbers are
-- of those that have been available for longest. What a group that is just being made has no cursor for is not in it.
-- regent.backlog is called only where it is needed: nearly all cursors have nothing acknowledged out of order, and without
-- the call six times as many can be counted in the same time.
create or replace function regent.group_lags(p_partitions int, p_ms int)
returns table (group_id bigint, queue text, consumer_group text, messages bigint, partitions int, oldest_at timestamptz, partial boolean)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  v_until timestamptz := clock_timestamp() + make_interval(secs => p_ms / 1000.0);
  v_cursors int;
  g record;
  c record;
begin
  for g in select t.id, t.name, t.starts_at, q.name as queue from regent.groups t join regent.queues q on q.id = t.queue_id order by t.queue_id, t.id
  loop
    group_id := g.id;
    queue := g.queue;
    consumer_group := g.name;
    messages := 0;
    partitions := 0;
    oldest_at := null;
    partial := false;
    v_cursors := 0;
    for c in
      select b.unread, b.oldest_at from regent.cursors t
        cross join lateral (select * from regent.partitions o where o.id = t.partition_id limit 1) as p
        cross join lateral (
          select p.head - greatest(t.committed, p.tail) as unread,
                 case when t.committed <= p.tail then p.oldest_at else (
                   select s.created_at from regent.segments s
                     where s.partition_id = t.partition_id and s.first <= t.committed + 1 order by s.first desc limit 1) end as oldest_at
            where isempty(t.acked) and g.starts_at is null
          union all
          select l.unread, l.oldest_at from regent.backlog(p.id, p.head, p.tail, t.committed, t.acked, g.starts_at) as l
            where not isempty(t.acked) or g.starts_at is not null) as b
        where t.group_id = g.id and t.available_at < 'infinity' order by t.available_at
    loop
      partial := v_cursors = p_partitions or clock_timestamp() > v_until;
      exit when partial;
      v_cursors := v_cursors + 1;
      if c.unread > 0 then
        messages := messages + c.unread;
        partitions := partitions + 1;
        oldest_at := least(oldest_at, c.oldest_at);
      end if;
    end loop;
    return next;
    exit when clock_timestamp() > v_until;
  end loop;
end
$$;

-- The p_pairs groups that are furthest behind, and all others added up in one row without a name. pairs: how many a row is
-- about; partial: of how many of them there is more than was counted; total: all there are, also those not looked at.
create or replace function regent.lag_v1(p_pairs int, p_partitions int, p_ms int)
returns table (queue text, consumer_group text, messages float8, partitions float8, oldest_seconds float8, pairs int, partial int, total int)
language sql volatile as $$
  with lags as materialized (
    select l.*, greatest(coalesce(extract(epoch from clock_timestamp() - l.oldest_at), 0), 0)::float8 as seconds,
           row_number() over (order by l.messages desc, l.group_id) as place
      from regent.group_lags(p_partitions, p_ms) as l
  ), groups as (
    select count(*)::int as total from regent.groups
  )
  select l.queue, l.consumer_group, l.messages::float8, l.partitions::float8, l.seconds, 1, l.partial::int, n.total
    from lags l cross join groups n where l.place <= p_pairs
  union all
  select null, null, sum(l.messages)::float8, sum(l.partitions)::float8, max(l.seconds), count(*)::int, count(*) filter (where l.partial)::int, n.total
    from lags l cross join groups n where l.place > p_pairs group by n.total
$$;
