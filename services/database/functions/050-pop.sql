-- A lease id is made of the group's id and the caller's random token. The group comes first, so that a lease is found
-- through the (group, available_at) index; the token is the caller's, so that it can be found after a lost answer.
create or replace function regent.lease_id(p_group bigint, p_token text) returns uuid
language sql immutable parallel safe as $$
  select (lpad(to_hex(p_group), 12, '0') || '4' || substr(p_token, 1, 3) || 'a' || substr(p_token, 4))::uuid
$$;

-- Since when a group that a pop makes gets messages; null: all of them. "Now" is when the pop arrived, p_waited milliseconds
-- before its look was sent.
create or replace function regent.start_time(p_mode text, p_since text, p_waited float8) returns timestamptz
language sql stable as $$
  select case p_mode when 'new' then statement_timestamp() - make_interval(secs => p_waited / 1000) when 'timestamp' then p_since::timestamptz end
$$;

-- Serve waiting pops. A spec is one thing to pop from: a queue, one partition of it, or all queues with a namespace
-- and/or task (then p_queues is null for it, and queues are tried by falling priority). Its requests are served first
-- come, first served; each claimed partition goes to exactly one of them.
--   p_queues, p_partitions, p_namespaces, p_tasks, p_groups   per spec; null where not asked for
--   p_modes, p_since, p_waited   per spec: the subscription, should the group be new: all, timestamp (from p_since) or new
--                       (from p_waited milliseconds ago, when the request arrived)
--   p_requests          per spec: how many requests follow for it
--   p_batches           per request: most messages; p_claims: most partitions; p_auto: committed on delivery, no lease
--   p_tokens            per request: 18 random hex digits for its lease id
--   p_max_bytes         stop claiming once this much has been gathered in the whole call
--   p_from              per spec: partitions that have been available for longer are left out; null: none are. Of a queue's
--                       partitions only, not of a named one or of a label's queues
--   p_whole             per spec: they are looked at after all before anybody is left without messages
-- Rows with a request number (counted through all specs) are runs of messages: positions first .. last of a partition,
-- minus those in skip. After each spec one row without a request number: when to look again, and its state
--   ok; no_queue, no_partition: nothing of that name; lease_held: the named partition is leased to somebody
--   partial: stopped at p_max_bytes; unfinished: cursors still to be made or to be looked at. Look again at once
-- expired is on that row how many leases had run out and were taken over. scan_ms there is what finding the first cursor took:
-- every claim and acknowledgement leaves a dead index entry behind, in front of those that are looked for, which stays for as long
-- as the oldest transaction anywhere in the database may still see it. passed is up to when nothing was available, to be given
-- as p_from the next time; transactions under way for more than 200 ms may still bring something from before.
drop function if exists regent.pop_v1(text[], text[], text[], text[], text[], text[], text[], float8[], int[], int[], int[], boolean[], text[], bigint);
create or replace function regent.pop_v2(p_queues text[], p_partitions text[], p_namespaces text[], p_tasks text[], p_groups text[],
                                         p_modes text[], p_since text[], p_waited float8[], p_requests int[], p_batches int[], p_claims int[],
                                         p_auto boolean[], p_tokens text[], p_max_bytes bigint, p_from text[], p_whole boolean[])
returns table (spec int, request int, state text, next_ms float8, queue text, namespace text, task text, group_id bigint,
               partition_id bigint, partition text, lease uuid, first bigint, last bigint, at text, body text, skip text, attempts text,
               expired int, scan_ms float8, passed text)
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
  q regent.queues;
  g regent.groups;
  c regent.cursors;
  p record;
  s record;
  queues refcursor;
  cur refcursor;
  v_open int := 1;          -- the request being served
  v_last int := 0;          -- the last request of this spec
  v_got int;                -- messages it has
  v_claimed int;            -- partitions it has
  v_bytes bigint := 0;
  v_now timestamptz;
  v_next timestamptz;
  v_due timestamptz;
  v_until timestamptz;
  v_more boolean;
  v_seen boolean;
  v_empty int;              -- partitions that had nothing after all
  v_first timestamptz;      -- since when the one is available that has been so for longest
  v_from timestamptz;       -- what has been available for longer is left out
  v_single bigint;
  v_upto bigint;            -- the last position that may be delivered now
  v_committed bigint;
  v_start bigint;
  v_oldest timestamptz;     -- when the first message that is not read was created
  v_a bigint;
  v_z bigint;
  v_n int;
  v_left int;
  v_taken int;              -- messages from this partition
begin
  -- A group that is made takes its queue's row: before any cursor is locked, queues in the order of their ids.
  if cardinality(p_groups) > 1 or p_queues[1] is null then
    for s in
      select t.id as queue_id, n.i as spec from generate_subscripts(p_groups, 1) as n(i)
        cross join lateral (
          select m.id from regent.queues m where m.name = p_queues[n.i]
          union all
          select m.id from regent.queues m
            where p_queues[n.i] is null
              and (p_namespaces[n.i] is null or m.namespace = p_namespaces[n.i]) and (p_tasks[n.i] is null or m.task = p_tasks[n.i])) as t
        where not exists (select from regent.groups m where m.queue_id = t.id and m.name = p_groups[n.i])
          and (p_partitions[n.i] is null or exists (select from regent.partitions m where m.queue_id = t.id and m.name = p_partitions[n.i]))
        order by t.id
    loop
      perform regent.ensure_group_v1(s.queue_id, p_groups[s.spec], p_modes[s.spec], regent.start_time(p_modes[s.spec], p_since[s.spec], p_waited[s.spec]));
    end loop;
  end if;

  for i in 1 .. cardinality(p_groups) loop
    spec := i;
    state := 'no_queue';
    expired := 0;
    scan_ms := null;
    passed := null;
    v_from := coalesce(case when p_queues[i] is not null then p_from[i]::timestamptz end, '-infinity');
    v_open := v_last + 1;
    v_last := v_last + p_requests[i];
    v_got := 0;
    v_claimed := 0;
    v_next := 'infinity';
    v_more := false;

    -- One statement for both would be planned anew each time.
    if p_queues[i] is not null then
      open queues for select * from regent.queues t where t.name = p_queues[i];
    else
      open queues for select * from regent.queues t
        where (p_namespaces[i] is null or t.namespace = p_namespaces[i]) and (p_tasks[i] is null or t.task = p_tasks[i])
        order by t.priority desc, t.id;
    end if;
    loop
      fetch queues into q;
      exit when not found;
      exit when v_open > v_last or v_bytes >= p_max_bytes;
      queue := q.name;
      namespace := q.namespace;
      task := q.task;
      v_single := null;
      if p_partitions[i] is not null then
        select t.id into v_single from regent.partitions t where t.queue_id = q.id and t.name = p_partitions[i];
        if not found then
          state := 'no_partition';
          continue;
        end if;
      end if;
      g := regent.ensure_group_v1(q.id, p_groups[i], p_modes[i], regent.start_time(p_modes[i], p_since[i], p_waited[i]));
      continue when g.id is null;
      state := 'ok';
      group_id := g.id;
      if g.seeded_to is not null then
        v_more := regent.seed_group_v1(g.id, 1000) or v_more;
      end if;

      v_now := clock_timestamp();
      v_seen := false;
      v_first := null;
      v_empty := 0;
      if v_single is null then
        open cur for select t.* from regent.cursors t
          where t.group_id = g.id and t.available_at between v_from and v_now and t.available_at < 'infinity'
          order by t.available_at for update skip locked;
      else
        open cur for select t.* from regent.cursors t
          where t.partition_id = v_single and t.group_id = g.id for update skip locked;
      end if;
      loop
        exit when v_open > v_last or v_bytes >= p_max_bytes;
        if v_empty >= 500 then
          v_more := true;
          exit;
        end if;
        fetch cur into c;
        if scan_ms is null then
          scan_ms := extract(epoch from clock_timestamp() - v_now)::float8 * 1000;
        end if;
        if not found and v_single is null and p_whole[i] and v_from > '-infinity' then
          close cur;
          open cur for select t.* from regent.cursors t
            where t.group_id = g.id and t.available_at <= v_from order by t.available_at for update skip locked;
          v_from := '-infinity';
          v_first := null;
          fetch cur into c;
        end if;
        exit when not found;
        v_seen := true;
        v_first := coalesce(v_first, c.available_at);
        if c.available_at > v_now then
          -- Only a named partition is looked at before its time.
          if c.lease_id is not null then
            state := 'lease_held';
          end if;
          v_next := least(v_next, c.available_at);
          continue;
        end if;
        select t.head, t.last_at, t.name into p from regent.partitions t where t.id = c.partition_id;
        continue when not found;

        if c.lease_id is not null then
          -- Take-over: the lease ran out with these messages still unacknowledged.
          perform regent.count_deliveries(c.partition_id, c.group_id, c.committed, c.lease_to, c.acked);
          c.retried := true;
          expired := expired + 1;
        end if;

        v_upto := p.head;
        v_due := null;
        v_committed := c.committed;
        if g.starts_at is not null then
          -- The group was to start later than it was made: what came before its time is not for it.
          v_committed := greatest(v_committed, case when g.starts_at > v_now then p.head else regent.position_before(c.partition_id, p.head, g.starts_at) end);
        end if;
        if q.ttl_seconds > 0 and p.head > v_committed then
          -- What is too old is not delivered any more; retention deletes it.
          v_committed := greatest(v_committed, regent.position_before(c.partition_id, p.head, v_now - make_interval(secs => q.ttl_seconds)));
          if c.retried and v_committed > c.committed then
            delete from regent.attempts t
              where t.partition_id = c.partition_id and t.group_id = c.group_id and t.position <= v_committed;
          end if;
        end if;
        if (q.delayed_processing_seconds > 0 or q.window_buffer_seconds > 0) and p.head > v_committed then
          select t.created_at into v_oldest from regent.segments t
            where t.partition_id = c.partition_id and t.first <= v_committed + 1 and t.first + t.count > v_committed + 1
            order by t.first desc limit 1;
          if not found then
            select t.created_at into v_oldest from regent.segments t
              where t.partition_id = c.partition_id and t.first > v_committed order by t.first limit 1;
          end if;
          if v_oldest + make_interval(secs => q.delayed_processing_seconds) > v_now then
            v_due := v_oldest + make_interval(secs => q.delayed_processing_seconds);
          elsif q.delayed_processing_seconds > 0 then
            v_upto := regent.position_before(c.partition_id, p.head, v_now - make_interval(secs => q.delayed_processing_seconds));
          end if;
          if q.window_buffer_seconds > 0 and p.last_at + make_interval(secs => q.window_buffer_seconds) > v_now then
            -- Until it has been quiet for the window, but not for ever: a busy partition is delivered after the maximum.
            v_until := least(p.last_at + make_interval(secs => q.window_buffer_seconds), v_oldest + make_interval(secs =>
              case q.window_buffer_max_seconds when 0 then 10 * q.window_buffer_seconds else q.window_buffer_max_seconds end));
            if v_until > v_now then
              v_due := greatest(v_due, v_until);
            end if;
          end if;
        end if;

        v_a := null;
        v_taken := 0;
        if v_due is null and v_upto > v_committed then
          partition_id := c.partition_id;
          partition := p.name;
          request := v_open;
          skip := nullif(c.acked::text, '{}');
          attempts := null;
          if v_claimed = 0 then
            lease := regent.lease_id(g.id, p_tokens[v_open]);
          end if;
          select t.first into v_start from regent.segments t
            where t.partition_id = c.partition_id and t.first <= v_committed + 1 order by t.first desc limit 1;
          v_left := p_batches[v_open] - v_got;
          for s in
            select t.first, t.count, t.bytes, t.created_at, t.body from regent.segments t
              where t.partition_id = c.partition_id and t.first >= coalesce(v_start, v_committed + 1) and t.first <= v_upto
              order by t.first
          loop
            v_z := least(s.first + s.count - 1, v_upto);
            continue when v_z <= v_committed;
            if v_a is null and s.first > v_committed + 1 then
              v_committed := s.first - 1;   -- what stood before was deleted
            end if;
            first := greatest(s.first, v_committed + 1);
            if isempty(c.acked) then
              v_n := least(v_z - first + 1, v_left);
              v_z := first + v_n - 1;
            else
              select count(*), coalesce(max(n.position), v_z) into v_n, v_z
                from (select x.position from generate_series(first, v_z) as x(position)
                        where not c.acked @> x.position limit v_left) as n;
            end if;
            v_a := v_z;
            if v_n > 0 then
              last := v_z;
              at := regent.wire_time(s.created_at);
              if first = s.first and last = s.first + s.count - 1 then
                body := s.body;
              elsif first = last then
                body := split_part(s.body, E'\n', (first - s.first + 1)::int);
              else
                body := array_to_string((string_to_array(s.body, E'\n'))[first - s.first + 1 : last - s.first + 1], E'\n');
              end if;
              if c.retried then
                select string_agg(t.position || ':' || t.deliveries || ':' || t.failures, ',') into attempts
                  from regent.attempts t
                  where t.partition_id = c.partition_id and t.group_id = c.group_id and t.position between first and last;
              end if;
              if p_auto[v_open] then
                lease := null;
              end if;
              return next;
              v_got := v_got + v_n;
              v_taken := v_taken + v_n;
              v_left := v_left - v_n;
              v_bytes := v_bytes + s.bytes::bigint * (last - first + 1) / s.count;
            end if;
            exit when v_left <= 0 or v_bytes >= p_max_bytes;
          end loop;
        end if;

        if v_a is null then
          -- Nothing to deliver from here now: not due, deleted, or really at the head. Very many such partitions are
          -- seen to in several calls.
          v_empty := v_empty + 1;
          if v_due is null then
            v_committed := greatest(v_upto, v_committed);
            v_due := regent.settle_cursor(c.partition_id, v_committed);
          end if;
          update regent.cursors t
            set available_at = v_due, lease_id = null, committed = v_committed, retried = c.retried,
                acked = t.acked - int8multirange(int8range(null, v_committed, '[]'))
            where current of cur;
        elsif v_taken = 0 then
          -- Only messages that had been acknowledged out of order.
          update regent.cursors t
            set committed = v_a, lease_id = null, retried = c.retried,
                acked = t.acked - int8multirange(int8range(null, v_a, '[]')),
                available_at = case when p.head > v_a then clock_timestamp() else regent.settle_cursor(c.partition_id, v_a) end
            where current of cur;
        else
          if p_auto[v_open] then
            if c.retried then
              delete from regent.attempts t
                where t.partition_id = c.partition_id and t.group_id = c.group_id and t.position <= v_a;
              -- Messages behind those taken may have come before, too.
              c.retried := exists (select from regent.attempts t where t.partition_id = c.partition_id and t.group_id = c.group_id);
            end if;
            update regent.cursors t
              set committed = v_a, lease_id = null, lease_to = v_a, retried = c.retried, consumed_at = clock_timestamp(),
                  acked = t.acked - int8multirange(int8range(null, v_a, '[]')),
                  available_at = case when p.head > v_a then clock_timestamp() else regent.settle_cursor(c.partition_id, v_a) end
              where current of cur;
          else
            update regent.cursors t
              set committed = v_committed, lease_id = lease, lease_to = v_a, retried = c.retried,
                  acked = case when v_committed > c.committed then t.acked - int8multirange(int8range(null, v_committed, '[]')) else t.acked end,
                  available_at = clock_timestamp() + make_interval(secs => case q.lease_seconds when 0 then 60 else q.lease_seconds end)
              where current of cur;
          end if;
          v_claimed := v_claimed + 1;
          if v_claimed >= p_claims[v_open] or v_got >= p_batches[v_open] then
            v_open := v_open + 1;
            v_claimed := 0;
            v_got := 0;
          end if;
        end if;
      end loop;
      close cur;
      if v_single is not null and v_open <= v_last and not v_seen then
        v_next := v_now;   -- its cursor is locked by somebody, or not made yet: look again soon
      end if;
      -- One request is served from one queue.
      if v_claimed > 0 then
        v_open := v_open + 1;
        v_claimed := 0;
        v_got := 0;
      end if;
      if v_single is null then
        if v_open > v_last then
          v_due := v_first;   -- when there is more is asked by nobody
        else
          select t.available_at into v_due from regent.cursors t
            where t.group_id = g.id and t.available_at >= v_from and t.available_at < 'infinity' order by t.available_at limit 1;
          v_next := least(v_next, v_due);
        end if;
        if p_queues[i] is not null then
          passed := least(v_due, v_now - interval '200 milliseconds');
        end if;
      end if;
    end loop;
    close queues;

    request := null; group_id := null; partition_id := null; partition := null; lease := null; first := null; last := null;
    at := null; body := null; skip := null; attempts := null;
    if v_open <= v_last then
      state := case when v_bytes >= p_max_bytes then 'partial' when v_more then 'unfinished' else state end;
    end if;
    next_ms := regent.ms_until(v_next);
    return next;
    next_ms := null; scan_ms := null; passed := null;
  end loop;
end
$$;

-- Give back what may have been claimed by pops whose answer never arrived: their tokens are known, nothing else is.
create or replace function regent.recover_v1(p_group text, p_tokens text[]) returns void
language sql set enable_seqscan = off as $$
  update regent.cursors set lease_id = null, available_at = clock_timestamp()
    where group_id in (select id from regent.groups where name = p_group)
      and available_at > clock_timestamp() and available_at < 'infinity'
      and lease_id in (select regent.lease_id(g.id, t) from regent.groups g cross join unnest(p_tokens) as t where g.name = p_group)
$$;

-- Give back what was claimed for a client that has gone, without counting it as a delivery. An automatic
-- acknowledgement is undone as long as nobody has read on from there. p_hold_ms: how long the partitions are to be left alone.
drop function if exists regent.release_v1(bigint[], bigint[], uuid[], bigint[], bigint[]);
create or replace function regent.release_v2(p_partitions bigint[], p_groups bigint[], p_leases uuid[], p_first bigint[], p_last bigint[], p_hold_ms float8)
returns void language plpgsql set enable_seqscan = off as $$
begin
  for i in 1 .. cardinality(p_partitions) loop
    if p_leases[i] is not null then
      update regent.cursors set lease_id = null, available_at = clock_timestamp() + make_interval(secs => p_hold_ms / 1000)
        where partition_id = p_partitions[i] and group_id = p_groups[i] and lease_id = p_leases[i];
    else
      -- Messages may have been deleted meanwhile, one by one or up to the tail: it is looked for once the cursor is held.
      perform from regent.cursors where partition_id = p_partitions[i] and group_id = p_groups[i] for update;
      update regent.cursors c
        set committed = greatest(p_first[i] - 1, p.tail), acked = regent.deleted_after(p.id, greatest(p_first[i] - 1, p.tail)),
            available_at = clock_timestamp() + make_interval(secs => p_hold_ms / 1000)
        from regent.partitions p
        where p.id = p_partitions[i] and c.partition_id = p.id and c.group_id = p_groups[i] and c.lease_id is null
          and c.committed = p_last[i] and isempty(c.acked);
    end if;
  end loop;
end
$$;

-- Extend a lease on every partition it still holds; never shortens. outcome: extended, expired, unknown.
create or replace function regent.extend_v1(p_lease uuid, p_seconds int)
returns table (outcome text, expires_at text) language plpgsql set enable_seqscan = off as $$
declare
  v_group bigint := ('x' || substr(replace(p_lease::text, '-', ''), 1, 12))::bit(48)::bigint;
  v_until timestamptz;
begin
  with extended as (
    update regent.cursors set available_at = greatest(available_at, clock_timestamp() + make_interval(secs => p_seconds))
      where group_id = v_group and available_at > clock_timestamp() and available_at < 'infinity' and lease_id = p_lease
        and exists (select from regent.groups where id = v_group)   -- else the cursors of a deleted group are still being cleared
      returning available_at
  ) select min(available_at) into v_until from extended;
  expires_at := to_char(v_until at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
  outcome := case
    when v_until is not null then 'extended'
    when exists (select from regent.cursors join regent.groups g on g.id = group_id
                   where group_id = v_group and available_at < 'infinity' and lease_id = p_lease) then 'expired'
    else 'unknown' end;
  return next;
end
$$;
