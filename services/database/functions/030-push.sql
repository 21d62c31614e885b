-- What a queue holds for the group that is furthest behind; everything it stores when it has no group.
create or replace function regent.queue_backlog(p_queue bigint) returns bigint
language sql stable set enable_seqscan = off as $$
  select coalesce(
    (select max(behind.messages) from (
      select coalesce(sum(regent.unread(p.head, c.committed, c.acked)), 0) as messages
        from regent.groups g
        left join regent.cursors c on c.group_id = g.id and c.available_at < 'infinity'
        left join regent.partitions p on p.id = c.partition_id
        where g.queue_id = p_queue group by g.id) as behind),
    (select sum(p.head - p.tail) from regent.partitions p where p.queue_id = p_queue), 0)::bigint
$$;

-- The name of a queue that would be taken past its size; null when there is room. The queue rows stay locked until the
-- messages are in, so of two pushes that would fit only one by one, one is refused. Counting what the groups have left to
-- read takes longer the more partitions that is in: it is done when the bound kept since the last count is not enough, or
-- old (seeks back and new groups add to the backlog without a push), and never for more than a fifth of the time.
create or replace function regent.full_queue(p_queues bigint[], p_counts int[]) returns text
language plpgsql set enable_seqscan = off as $$
declare
  q regent.queues;
  v_bound bigint;
  v_from timestamptz;
begin
  for i in 1 .. cardinality(p_queues) loop
    select * into q from regent.queues where id = p_queues[i] for no key update;
    continue when q.id is null or q.max_size = 0;
    v_bound := q.backlog_bound + p_counts[i];
    v_from := clock_timestamp();
    if (v_bound is null or v_bound > q.max_size or q.backlog_counted_at < v_from - interval '1 second')
        and q.backlog_counted_at + make_interval(secs => q.backlog_counted_ms / 250) < v_from then
      v_bound := regent.queue_backlog(q.id) + p_counts[i];
      update regent.queues
        set backlog_bound = case when v_bound > q.max_size then v_bound - p_counts[i] else v_bound end, backlog_counted_at = clock_timestamp(),
            backlog_counted_ms = extract(epoch from clock_timestamp() - v_from)::float8 * 1000
        where id = q.id;
    elsif v_bound <= q.max_size then
      update regent.queues set backlog_bound = v_bound where id = q.id;
    end if;
    if v_bound > q.max_size then
      return q.name;
    end if;
  end loop;
  return null;
end
$$;

-- Append to partitions, in one transaction.
--   p_limited, p_adds   queues with a limit of size, ascending: their ids, and how many messages come to each
--   p_partitions  partition ids, ascending, each once
--   p_versions    per partition: the push_version under which its messages were prepared
--   p_known       per partition: the position up to which the caller has checked its messages for duplicates, or -1
--                 when the caller keeps no window: then the whole window is checked here; -2 switches the check off
--   p_windows     per partition: the deduplication window in seconds (used with -1)
--   p_segments    per partition: how many segments follow for it
--   p_counts      per segment: messages
--   p_tx          per message: 53-bit hash of its transaction id
--   p_bodies      the segment bodies, joined by U+001E, which cannot stand raw in JSON
-- One row per partition:
--   ok        written: base + 1 is the first position, at_ms the time they share
--   conflict  nothing written: a segment the caller did not know holds one of its hashes. base is the head now
--   full      nothing is written at all: a queue (foreign_tx: its name) would exceed its size
--   gone      no such partition, or its queue has been configured anew: look it up again
-- foreign_tx: the segments after p_known that the caller did not know ("first:hash,hash;first:…"), so that its window
-- is complete again; under -1 only those that hold one of the new hashes. complete is false when others wrote more than
-- is worth handing over: then all was checked here, and the caller's window has a hole.
drop function if exists regent.push_v1(bigint[], bigint[], int[], int[], int[], bigint[], text);
create or replace function regent.push_v2(p_limited bigint[], p_adds int[],
                                          p_partitions bigint[], p_versions int[], p_known bigint[], p_windows int[], p_segments int[],
                                          p_counts int[], p_tx bigint[], p_bodies text)
returns table (idx int, outcome text, base bigint, at_ms float8, foreign_tx text, complete boolean)
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
  v_bodies text[] := string_to_array(p_bodies, U&'\001E');
  v_written bigint[] := '{}';
  v_segment int := 1;
  v_message int := 1;
  v_total int;
  v_at timestamptz;
  v_from bigint;
  v_hashes bigint[];
  v_hands_over boolean;
begin
  foreign_tx := regent.full_queue(p_limited, p_adds);
  if foreign_tx is not null then
    outcome := 'full';
    complete := true;
    for i in 1 .. cardinality(p_partitions) loop
      idx := i;
      return next;
    end loop;
    return;
  end if;
  for i in 1 .. cardinality(p_partitions) loop
    idx := i;
    foreign_tx := null;
    complete := true;
    v_total := 0;
    for s in v_segment .. v_segment + p_segments[i] - 1 loop
      v_total := v_total + p_counts[s];
    end loop;

    update regent.partitions
      set head = head + v_total, last_at = greatest(last_at, clock_timestamp()),
          oldest_at = least(oldest_at, greatest(last_at, clock_timestamp()))
      where id = p_partitions[i] and push_version = p_versions[i]
      returning head - v_total, last_at into base, v_at;
    if not found then
      outcome := 'gone';
    else
      outcome := 'ok';
      v_from := p_known[i];
      v_hands_over := v_from >= 0;
      if (v_from = -1 and base > 0) or (v_hands_over and base - v_from > 100000) then
        v_from := greatest(v_from, regent.position_before(p_partitions[i], base, v_at - make_interval(secs => p_windows[i])));
        v_hands_over := v_hands_over and base - v_from <= 100000;
        complete := p_known[i] < 0 or v_hands_over;
      end if;
      if v_from between 0 and base - 1 then
        v_hashes := p_tx[v_message : v_message + v_total - 1];
        if exists (
          select from regent.segments s cross join unnest(s.tx) as old(hash) join unnest(v_hashes) as new(hash) on new.hash = old.hash
            where s.partition_id = p_partitions[i] and s.first > v_from
        ) then
          outcome := 'conflict';
        end if;
        if v_hands_over then
          select string_agg(s.first || ':' || array_to_string(s.tx, ','), ';' order by s.first) into foreign_tx
            from regent.segments s where s.partition_id = p_partitions[i] and s.first > v_from;
        elsif outcome = 'conflict' then
          select string_agg(s.first || ':' || array_to_string(s.tx, ','), ';' order by s.first) into foreign_tx
            from regent.segments s where s.partition_id = p_partitions[i] and s.first > v_from and s.tx && v_hashes;
        end if;
      end if;
    end if;

    if outcome = 'ok' then
      v_from := base + 1;
      for s in v_segment .. v_segment + p_segments[i] - 1 loop
        insert into regent.segments (partition_id, first, count, bytes, created_at, tx, body)
          values (p_partitions[i], v_from, p_counts[s], octet_length(v_bodies[s]), v_at,
                  p_tx[v_message : v_message + p_counts[s] - 1], v_bodies[s]);
        v_from := v_from + p_counts[s];
        v_message := v_message + p_counts[s];
      end loop;
      v_written := v_written || p_partitions[i];
    else
      v_message := v_message + v_total;
      if outcome = 'conflict' then
        -- The positions were only borrowed, and the time too: nobody else saw them move.
        update regent.partitions p
          set head = base,
              oldest_at = case when base > p.tail then p.oldest_at else 'infinity' end,
              last_at = coalesce((select s.created_at from regent.segments s where s.partition_id = p.id and s.first <= base
                                    order by s.first desc limit 1), '-infinity')
          where p.id = p_partitions[i];
      end if;
    end if;
    at_ms := extract(epoch from v_at)::float8 * 1000;
    v_segment := v_segment + p_segments[i];
    return next;
  end loop;

  -- Only drained cursors are touched, after the partitions are locked: see the drained mark in regent.settle_cursor.
  update regent.cursors set available_at = clock_timestamp()
    where partition_id = any(v_written) and available_at = 'infinity';
end
$$;

-- What a caller needs to keep the deduplication window of partitions in memory: the head, and the hashes written since
-- the window's start; tx is null where there are more of them than is left of p_limit for all.
create or replace function regent.dedup_window_v1(p_partitions bigint[], p_windows int[], p_limit int)
returns table (idx int, head bigint, tx text, now_ms float8)
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_variable
declare
  v_from bigint;
  v_left bigint := p_limit;
begin
  now_ms := extract(epoch from clock_timestamp())::float8 * 1000;
  for i in 1 .. cardinality(p_partitions) loop
    idx := i;
    select p.head into head from regent.partitions p where p.id = p_partitions[i];
    continue when not found;
    v_from := regent.position_before(p_partitions[i], head, clock_timestamp() - make_interval(secs => p_windows[i]));
    if head - v_from > v_left then
      tx := null;
    else
      v_left := v_left - (head - v_from);
      select coalesce(string_agg(s.first || ':' || array_to_string(s.tx, ','), ';' order by s.first), '') into tx
        from regent.segments s where s.partition_id = p_partitions[i] and s.first > v_from and s.first <= head;
    end if;
    return next;
  end loop;
end
$$;

-- Is the message at a position the one with this transaction id, and still inside the window? An answer per question.
create or replace function regent.confirm_duplicates_v1(p_partitions bigint[], p_positions bigint[], p_windows int[], p_ids text)
returns table (idx int, same boolean)
language sql stable set enable_seqscan = off as $$
  select c.ord::int,
         coalesce(c.pos > p.tail and s.created_at > clock_timestamp() - make_interval(secs => c.seconds)
                  and starts_with(regent.line_at(s.body, c.pos - s.first + 1), '{"transactionId":' || c.id || ','), false)
    from unnest(p_partitions, p_positions, p_windows, string_to_array(p_ids, U&'\001E')) with ordinality as c(partition_id, pos, seconds, id, ord)
    -- What a partition that is gone has left behind is no message any more, nor what stands below its tail.
    left join regent.partitions p on p.id = c.partition_id
    left join lateral (
      select * from regent.segments s where s.partition_id = c.partition_id and s.first <= c.pos order by s.first desc limit 1
    ) s on c.pos < s.first + s.count
$$;
