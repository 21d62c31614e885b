-- Acknowledge. A unit is what one caller says about one (partition, group) under one lease.
--   p_partitions, p_groups   per unit
--   p_leases        per unit: the lease ids any of which must be live, comma-separated; null: no lease is claimed. Then
--                   only messages of the live lease, or any when nobody holds one, are accepted
--   p_ranges        per unit: how many ranges of completed positions follow; p_from, p_to: their ends
--   p_others        per unit: how many other acknowledgements follow; p_positions, p_kinds (failed, retry, dlq), p_errors
--                   (joined by U+001E): what they say
-- One row per unit. committed and acked: as they were before, so that the caller can tell what had been acknowledged
-- already; last_position: up to where this caller may acknowledge; outcomes: a letter for each of the others
--   r back for redelivery, d dead-lettered, a had been acknowledged, l no valid lease, n the queue keeps no dead letters
-- A message that has failed too often is dead-lettered, unless its queue keeps no dead letters or is not to move messages
-- there by itself: then it comes again without end, for nothing is dropped by itself.
-- The cursor moves over the contiguous acknowledged prefix and never back. What was acknowledged beyond it is kept in
-- the cursor row, also when the lease ends, so exactly what was not acknowledged is delivered again.
create or replace function regent.ack_v1(p_partitions bigint[], p_groups text[], p_leases text[], p_ranges int[], p_from bigint[],
                                         p_to bigint[], p_others int[], p_positions bigint[], p_kinds text[], p_errors text)
returns table (unit int, known boolean, queue text, namespace text, task text, partition text, lease_ok boolean, committed bigint,
               acked text, last_position bigint, released boolean, available_ms float8, outcomes text)
language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
  r record;
  v_errors text[] := string_to_array(p_errors, U&'\001E');
  v_range int := 1;
  v_other int := 1;
  v_live boolean;
  v_release boolean;
  v_delay boolean;
  v_retried boolean;
  v_acked int8multirange;
  v_committed bigint;
  v_failures int;
  v_kind text;
  v_position bigint;
  v_error text;
  v_until timestamptz;
begin
  for i in 1 .. cardinality(p_partitions) loop
    unit := i;
    outcomes := '';
    released := false;
    select c.committed, c.available_at, c.lease_id, c.lease_to, c.acked, c.retried, c.group_id, p.head, p.name as partition,
           q.id as queue_id, q.name as queue, q.namespace, q.task, q.retry_limit, q.retry_delay_ms, q.dead_letter_queue, q.dlq_after_max_retries
      into r
      from regent.partitions p
      join regent.queues q on q.id = p.queue_id
      join regent.groups g on g.queue_id = q.id and g.name = p_groups[i]
      join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
      where p.id = p_partitions[i]
      for update of c;
    known := r.group_id is not null;
    queue := r.queue; namespace := r.namespace; task := r.task; partition := r.partition;
    if not known then
      select q.name, p.name into queue, partition
        from regent.partitions p join regent.queues q on q.id = p.queue_id where p.id = p_partitions[i];
      lease_ok := false; committed := null; acked := null; last_position := null; available_ms := null;
      return next;
      v_range := v_range + p_ranges[i];
      v_other := v_other + p_others[i];
      continue;
    end if;

    -- The fence: the lease id and the database's clock, under the row's lock.
    v_live := r.lease_id is not null and r.available_at > clock_timestamp();
    lease_ok := p_leases[i] is null or (v_live and r.lease_id::text = any(string_to_array(p_leases[i], ',')));
    last_position := case when v_live then r.lease_to else r.head end;
    committed := r.committed;
    acked := nullif(r.acked::text, '{}');
    v_acked := r.acked;
    v_committed := r.committed;
    v_retried := r.retried;
    v_release := false;
    v_delay := false;

    if lease_ok and p_ranges[i] = 1 and p_others[i] = 0 and isempty(r.acked) and p_from[v_range] <= r.committed + 1 then
      -- What nearly all are: the next messages, in order. The same as below, without queries.
      v_committed := greatest(r.committed, least(p_to[v_range], last_position));
    elsif lease_ok and p_ranges[i] > 0 then
      v_acked := v_acked + (
        select range_agg(int8range(f, least(t, last_position), '[]'))
          from unnest(p_from[v_range : v_range + p_ranges[i] - 1], p_to[v_range : v_range + p_ranges[i] - 1]) as n(f, t)
          where f <= last_position);
      v_acked := coalesce(v_acked, r.acked);
    end if;

    for k in v_other .. v_other + p_others[i] - 1 loop
      v_position := p_positions[k];
      v_kind := p_kinds[k];
      v_error := coalesce(v_errors[k], '');   -- one empty text splits into no texts at all
      if v_position <= r.committed or v_acked @> v_position then
        outcomes := outcomes || 'a';
        continue;
      elsif not lease_ok or v_position > last_position then
        outcomes := outcomes || 'l';
        continue;
      end if;
      if v_kind = 'dlq' and not r.dead_letter_queue then
        outcomes := outcomes || 'n';
        continue;
      end if;
      if v_kind = 'failed' then
        insert into regent.attempts as t (partition_id, group_id, position, failures)
          values (p_partitions[i], r.group_id, v_position, 1)
          on conflict (partition_id, group_id, position) do update set failures = t.failures + 1
          returning t.failures into v_failures;
        v_retried := true;
        if v_failures > r.retry_limit and r.dead_letter_queue and r.dlq_after_max_retries then
          v_kind := 'dlq';
        end if;
      else
        select t.failures into v_failures from regent.attempts t
          where t.partition_id = p_partitions[i] and t.group_id = r.group_id and t.position = v_position;
      end if;
      if v_kind = 'dlq' then
        insert into regent.dead_letters (queue_id, queue, partition_id, partition, consumer_group, position, line, error, retry_count, created_at)
          select r.queue_id, r.queue, s.partition_id, r.partition, p_groups[i], v_position,
                 regent.line_at(s.body, v_position - s.first + 1), v_error,
                 case when p_kinds[k] = 'failed' then v_failures - 1 else coalesce(v_failures, 0) end, s.created_at
            from (select * from regent.segments t
                    where t.partition_id = p_partitions[i] and t.first <= v_position order by t.first desc limit 1) s
            where v_position < s.first + s.count   -- it may have been deleted meanwhile
          on conflict (partition_id, consumer_group, position) do nothing;
        v_acked := v_acked + int8multirange(int8range(v_position, v_position, '[]'));
        outcomes := outcomes || 'd';
      else
        v_release := true;
        v_delay := v_delay or v_kind = 'failed';
        outcomes := outcomes || 'r';
      end if;
    end loop;
    v_range := v_range + p_ranges[i];
    v_other := v_other + p_others[i];

    if v_acked @> v_committed + 1 then
      select upper(n) - 1 into v_committed from unnest(v_acked) as n where n @> (r.committed + 1);
    end if;
    v_acked := v_acked - int8multirange(int8range(null, v_committed, '[]'));

    v_until := r.available_at;
    if v_release then
      -- An expired lease ends here too: moving its time would bring it back to life.
      if r.lease_id is not null then
        perform regent.count_deliveries(p_partitions[i], r.group_id, v_committed, r.lease_to, v_acked);
        v_retried := true;
        released := v_live;
      end if;
      if v_live or r.available_at < clock_timestamp() then
        v_until := clock_timestamp() + make_interval(secs => case when v_delay then r.retry_delay_ms / 1000.0 else 0 end);
      end if;
    elsif v_live and v_committed >= r.lease_to then
      released := true;
      v_until := case when r.head > v_committed then clock_timestamp() else regent.settle_cursor(p_partitions[i], v_committed) end;
    elsif not v_live and v_committed > r.committed and v_committed >= r.head then
      v_until := regent.settle_cursor(p_partitions[i], v_committed);
    end if;

    if v_retried and v_committed > r.committed then
      delete from regent.attempts t
        where t.partition_id = p_partitions[i] and t.group_id = r.group_id and t.position <= v_committed;
      v_retried := exists (select from regent.attempts t where t.partition_id = p_partitions[i] and t.group_id = r.group_id);
    end if;

    if v_committed > r.committed or v_acked <> r.acked or released or v_until <> r.available_at or v_retried <> r.retried then
      update regent.cursors t
        set committed = v_committed, acked = v_acked, retried = v_retried, available_at = v_until,
            consumed_at = case when v_committed > r.committed or v_acked <> r.acked then clock_timestamp() else t.consumed_at end,
            lease_id = case when released or v_release then null else t.lease_id end
        where t.partition_id = p_partitions[i] and t.group_id = r.group_id;
    end if;
    available_ms := case when released or v_until <> r.available_at then regent.ms_until(v_until) end;
    return next;
  end loop;
end
$$;

-- Positions of messages by transaction id, for acknowledgements of deliveries this process does not remember.
--   p_counts per unit: how many ids follow; p_hashes: their hashes; p_ids: as JSON text, joined by U+001E
-- Looked for in what is leased, then in what lies ahead, then in what was committed, each only for what is still missing:
-- the first is where nearly all are. The others are bounded: what lies more than 100000 positions from the cursor is not
-- found, or one unknown id would cost a walk through the whole partition.
create or replace function regent.find_positions_v1(p_partitions bigint[], p_groups text[], p_counts int[], p_hashes bigint[], p_ids text)
returns table (ord int, "position" bigint)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_ids text[] := string_to_array(p_ids, U&'\001E');
  v_at int := 1;
  v_hashes bigint[];
  v_head bigint;
  v_committed bigint;
  v_lease_to bigint;
  v_lo bigint;
  v_hi bigint;
  v_found int[];
begin
  for i in 1 .. cardinality(p_partitions) loop
    v_hashes := p_hashes[v_at : v_at + p_counts[i] - 1];
    v_found := '{}';
    select p.head, coalesce(c.committed, 0), greatest(c.lease_to, c.committed, 0) into v_head, v_committed, v_lease_to
      from regent.partitions p
      left join regent.groups g on g.queue_id = p.queue_id and g.name = p_groups[i]
      left join regent.cursors c on c.partition_id = p.id and c.group_id = g.id
      where p.id = p_partitions[i];
    for stretch in 1 .. 3 loop
      exit when v_head is null or cardinality(v_found) = p_counts[i];
      v_lo := case stretch when 1 then v_committed + 1 when 2 then v_lease_to + 1 else greatest(1, v_committed - 100000) end;
      v_hi := case stretch when 1 then v_lease_to when 2 then least(v_head, v_lease_to + 100000) else v_committed end;
      continue when v_hi < v_lo;
      for ord, "position" in
        -- An id may come again after its window: the k-th time it is asked for, the k-th message with it is meant.
        select matched.ord, matched.position from (
          select n.ord, n.nth, s.first + t.ord - 1 as position, row_number() over (partition by n.ord order by s.first, t.ord) as rank
            from regent.segments s
            cross join unnest(s.tx) with ordinality as t(hash, ord)
            join (select hash, ord, row_number() over (partition by v_ids[v_at + ord - 1] order by ord) as nth
                    from unnest(v_hashes) with ordinality as a(hash, ord)) as n on n.hash = t.hash
            where s.partition_id = p_partitions[i]
              and s.first >= coalesce((select b.first from regent.segments b where b.partition_id = p_partitions[i] and b.first <= v_lo
                                         order by b.first desc limit 1), v_lo)
              and s.first <= v_hi and s.first + t.ord - 1 between v_lo and v_hi and n.ord <> all(v_found)
              and (starts_with(regent.line_at(s.body, t.ord), '{"transactionId":' || v_ids[v_at + n.ord - 1] || ',')
                -- It was delivered, and deleted since; its line is blank.
                or exists (select from regent.tombstones d where d.partition_id = s.partition_id and d.position = s.first + t.ord - 1))
        ) as matched where matched.rank = matched.nth
      loop
        v_found := v_found || ord;
        ord := v_at + ord - 1;
        return next;
      end loop;
    end loop;
    v_at := v_at + p_counts[i];
  end loop;
end
$$;

-- Of which queue partitions are and what they are called, and whether a group has a cursor there; no row for what is gone.
create or replace function regent.name_partitions_v1(p_partitions bigint[], p_groups text[])
returns table (idx int, queue text, partition text, has_cursor boolean)
language sql stable set enable_seqscan = off as $$
  select n.ord::int, q.name, p.name, exists (
           select from regent.groups g join regent.cursors c on c.group_id = g.id and c.partition_id = p.id where g.queue_id = q.id and g.name = n.name)
    from unnest(p_partitions, p_groups) with ordinality as n(id, name, ord)
    join regent.partitions p on p.id = n.id
    join regent.queues q on q.id = p.queue_id
$$;
