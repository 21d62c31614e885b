-- Write what one process gathered: per bucket and queue (p_queues), per bucket (p_workers), and what its running totals
-- grow by. A write that has arrived before does nothing: the writer's row lock makes a repeat wait for the first.
create or replace function regent.write_metrics_v1(p_writer uuid, p_seq bigint, p_queues json, p_workers json, p_totals json)
returns boolean language plpgsql set enable_seqscan = off as $$
begin
  insert into regent.metric_writers as t (id, seq) values (p_writer, p_seq)
    on conflict (id) do update set seq = excluded.seq, written_at = clock_timestamp() where t.seq < excluded.seq;
  if not found then
    return false;
  end if;

  insert into regent.queue_metrics as t (bucket, queue, hostname, worker_id, worker, push_requests, push_messages, pop_requests, pop_messages,
      pop_empty, ack_requests, ack_success, ack_failed, transactions, dead_letters, partitions_created, lag_count, lag_sum_ms,
      lag_max_ms, parked_ms, partition_count)
    select r.bucket, r.queue, r.hostname, r.worker_id, r.worker, r.push_requests, r.push_messages, r.pop_requests, r.pop_messages,
        r.pop_empty, r.ack_requests, r.ack_success, r.ack_failed, r.transactions, r.dead_letters, r.partitions_created, r.lag_count, r.lag_sum_ms,
        r.lag_max_ms, r.parked_ms, (select count(*) from regent.partitions p where p.queue_id = q.id having q.id is not null)
      from json_populate_recordset(null::regent.queue_metrics, p_queues) as r
      left join regent.queues q on q.name = r.queue
      order by r.bucket, r.queue
    on conflict (span_minutes, bucket, queue, hostname, worker_id) do update set
      push_requests = t.push_requests + excluded.push_requests,
      push_messages = t.push_messages + excluded.push_messages,
      pop_requests = t.pop_requests + excluded.pop_requests,
      pop_messages = t.pop_messages + excluded.pop_messages,
      pop_empty = t.pop_empty + excluded.pop_empty,
      ack_requests = t.ack_requests + excluded.ack_requests,
      ack_success = t.ack_success + excluded.ack_success,
      ack_failed = t.ack_failed + excluded.ack_failed,
      transactions = t.transactions + excluded.transactions,
      dead_letters = t.dead_letters + excluded.dead_letters,
      partitions_created = t.partitions_created + excluded.partitions_created,
      lag_count = t.lag_count + excluded.lag_count,
      lag_sum_ms = t.lag_sum_ms + excluded.lag_sum_ms,
      lag_max_ms = greatest(t.lag_max_ms, excluded.lag_max_ms),
      parked_ms = t.parked_ms + excluded.parked_ms,
      partition_count = coalesce(excluded.partition_count, t.partition_count);

  insert into regent.worker_metrics as t (bucket, hostname, worker_id, worker, pid, port, push_requests, push_messages, pop_requests, pop_messages,
      pop_empty, ack_requests, ack_success, ack_failed, transactions, dead_letters, partitions_created, db_errors, lag_count, lag_sum_ms,
      lag_max_ms, samples, figures)
    select r.bucket, r.hostname, r.worker_id, r.worker, r.pid, r.port, r.push_requests, r.push_messages, r.pop_requests, r.pop_messages,
        r.pop_empty, r.ack_requests, r.ack_success, r.ack_failed, r.transactions, r.dead_letters, r.partitions_created, r.db_errors, r.lag_count,
        r.lag_sum_ms, r.lag_max_ms, r.samples, r.figures
      from json_populate_recordset(null::regent.worker_metrics, p_workers) as r
      order by r.bucket
    on conflict (span_minutes, bucket, hostname, worker_id, pid) do update set
      port = excluded.port,
      push_requests = t.push_requests + excluded.push_requests,
      push_messages = t.push_messages + excluded.push_messages,
      pop_requests = t.pop_requests + excluded.pop_requests,
      pop_messages = t.pop_messages + excluded.pop_messages,
      pop_empty = t.pop_empty + excluded.pop_empty,
      ack_requests = t.ack_requests + excluded.ack_requests,
      ack_success = t.ack_success + excluded.ack_success,
      ack_failed = t.ack_failed + excluded.ack_failed,
      transactions = t.transactions + excluded.transactions,
      dead_letters = t.dead_letters + excluded.dead_letters,
      partitions_created = t.partitions_created + excluded.partitions_created,
      db_errors = t.db_errors + excluded.db_errors,
      lag_count = t.lag_count + excluded.lag_count,
      lag_sum_ms = t.lag_sum_ms + excluded.lag_sum_ms,
      lag_max_ms = greatest(t.lag_max_ms, excluded.lag_max_ms),
      samples = t.samples + excluded.samples,
      figures = regent.merged_figures(t.figures, excluded.figures);

  insert into regent.queue_totals as t (queue_id, pushed, popped, acked)
    select q.id, sum(r.push_messages), sum(r.pop_messages), sum(r.ack_success)
      from json_populate_recordset(null::regent.queue_metrics, p_queues) as r
      join regent.queues q on q.name = r.queue
      where r.push_messages + r.pop_messages + r.ack_success > 0
      group by q.id order by q.id
    on conflict (queue_id) do update set
      pushed = t.pushed + excluded.pushed, popped = t.popped + excluded.popped, acked = t.acked + excluded.acked;

  insert into regent.metric_totals as t (name, value)
    select key, value::bigint from json_each_text(p_totals) order by key
    on conflict (name) do update set value = t.value + excluded.value, updated_at = clock_timestamp();
  return true;
end
$$;

-- Two stretches of sampled figures as one; the second is the later.
create or replace function regent.merged_figures(p_a jsonb, p_b jsonb) returns jsonb
language sql immutable as $$
  select coalesce(jsonb_object_agg(coalesce(a.key, b.key), jsonb_build_object(
      'sum', coalesce((a.value->>'sum')::float8, 0) + coalesce((b.value->>'sum')::float8, 0),
      'min', least((a.value->>'min')::float8, (b.value->>'min')::float8),
      'max', greatest((a.value->>'max')::float8, (b.value->>'max')::float8),
      'last', coalesce(b.value->'last', a.value->'last'))), '{}')
    from jsonb_each(p_a) a full join jsonb_each(p_b) b on b.key = a.key
$$;

-- Turn minutes older than two days into hours, about p_limit rows of each history at a time. Returns how many rows went, 0
-- once there is nothing left to do. Hours are taken whole as far as the limit allows; what comes late is added.
create or replace function regent.rollup_metrics_v1(p_limit int) returns int
language plpgsql set enable_seqscan = off as $$
declare
  v_before timestamptz := date_trunc('hour', clock_timestamp() - interval '48 hours', 'UTC');
  v_rows int;
  n int;
begin
  with old as (
    select m.span_minutes, m.bucket, m.queue, m.hostname, m.worker_id from regent.queue_metrics m
      where m.span_minutes = 1 and m.bucket < v_before order by m.bucket, m.queue limit p_limit for update skip locked
  ), gone as (
    delete from regent.queue_metrics m using old
      where m.span_minutes = 1 and m.bucket = old.bucket and m.queue = old.queue and m.hostname = old.hostname and m.worker_id = old.worker_id
      returning m.*
  ), hours as (
    insert into regent.queue_metrics as t (bucket, span_minutes, queue, hostname, worker_id, worker, push_requests, push_messages, pop_requests,
        pop_messages, pop_empty, ack_requests, ack_success, ack_failed, transactions, dead_letters, partitions_created, lag_count, lag_sum_ms,
        lag_max_ms, parked_ms, partition_count)
      select date_trunc('hour', bucket, 'UTC') as hour, 60, queue, hostname, worker_id, max(worker), sum(push_requests), sum(push_messages), sum(pop_requests),
          sum(pop_messages), sum(pop_empty), sum(ack_requests), sum(ack_success), sum(ack_failed), sum(transactions), sum(dead_letters),
          sum(partitions_created), sum(lag_count), sum(lag_sum_ms), max(lag_max_ms), sum(parked_ms),
          (array_agg(partition_count order by bucket desc) filter (where partition_count is not null))[1]
        from gone group by hour, queue, hostname, worker_id order by hour, queue, hostname, worker_id
      on conflict (span_minutes, bucket, queue, hostname, worker_id) do update set
        push_requests = t.push_requests + excluded.push_requests,
        push_messages = t.push_messages + excluded.push_messages,
        pop_requests = t.pop_requests + excluded.pop_requests,
        pop_messages = t.pop_messages + excluded.pop_messages,
        pop_empty = t.pop_empty + excluded.pop_empty,
        ack_requests = t.ack_requests + excluded.ack_requests,
        ack_success = t.ack_success + excluded.ack_success,
        ack_failed = t.ack_failed + excluded.ack_failed,
        transactions = t.transactions + excluded.transactions,
        dead_letters = t.dead_letters + excluded.dead_letters,
        partitions_created = t.partitions_created + excluded.partitions_created,
        lag_count = t.lag_count + excluded.lag_count,
        lag_sum_ms = t.lag_sum_ms + excluded.lag_sum_ms,
        lag_max_ms = greatest(t.lag_max_ms, excluded.lag_max_ms),
        parked_ms = t.parked_ms + excluded.parked_ms,
        partition_count = coalesce(excluded.partition_count, t.partition_count)
  )
  select count(*) into v_rows from gone;

  with old as (
    select m.bucket, m.hostname, m.worker_id, m.pid from regent.worker_metrics m
      where m.span_minutes = 1 and m.bucket < v_before order by m.bucket limit p_limit for update skip locked
  ), gone as (
    delete from regent.worker_metrics m using old
      where m.span_minutes = 1 and m.bucket = old.bucket and m.hostname = old.hostname and m.worker_id = old.worker_id and m.pid = old.pid
      returning m.*
  ), leaves as (
    select date_trunc('hour', g.bucket, 'UTC') as hour, g.hostname, g.worker_id, g.pid, f.key,
           jsonb_build_object('sum', sum((f.value->>'sum')::float8), 'min', min((f.value->>'min')::float8),
             'max', max((f.value->>'max')::float8), 'last', (array_agg(f.value->'last' order by g.bucket desc))[1]) as leaf
      from gone g cross join lateral jsonb_each(g.figures) f group by 1, 2, 3, 4, 5
  ), hours as (
    insert into regent.worker_metrics as t (bucket, span_minutes, hostname, worker_id, worker, pid, port, push_requests, push_messages, pop_requests,
        pop_messages, pop_empty, ack_requests, ack_success, ack_failed, transactions, dead_letters, partitions_created, db_errors, lag_count,
        lag_sum_ms, lag_max_ms, samples, figures)
      select h.hour, 60, h.hostname, h.worker_id, h.worker, h.pid, h.port, h.push_requests, h.push_messages, h.pop_requests, h.pop_messages,
          h.pop_empty, h.ack_requests, h.ack_success, h.ack_failed, h.transactions, h.dead_letters, h.partitions_created, h.db_errors, h.lag_count,
          h.lag_sum_ms, h.lag_max_ms, h.samples,
          coalesce((select jsonb_object_agg(l.key, l.leaf) from leaves l
            where l.hour = h.hour and l.hostname = h.hostname and l.worker_id = h.worker_id and l.pid = h.pid), '{}')
        from (
          select date_trunc('hour', bucket, 'UTC') as hour, hostname, worker_id, max(worker) as worker, pid, max(port) as port,
              sum(push_requests) as push_requests, sum(push_messages) as push_messages, sum(pop_requests) as pop_requests,
              sum(pop_messages) as pop_messages, sum(pop_empty) as pop_empty, sum(ack_requests) as ack_requests,
              sum(ack_success) as ack_success, sum(ack_failed) as ack_failed, sum(transactions) as transactions,
              sum(dead_letters) as dead_letters, sum(partitions_created) as partitions_created, sum(db_errors) as db_errors,
              sum(lag_count) as lag_count, sum(lag_sum_ms) as lag_sum_ms, max(lag_max_ms) as lag_max_ms, sum(samples) as samples
            from gone group by 1, 2, 3, 5) as h
        order by h.hour, h.hostname, h.worker_id, h.pid
      on conflict (span_minutes, bucket, hostname, worker_id, pid) do update set
        push_requests = t.push_requests + excluded.push_requests,
        push_messages = t.push_messages + excluded.push_messages,
        pop_requests = t.pop_requests + excluded.pop_requests,
        pop_messages = t.pop_messages + excluded.pop_messages,
        pop_empty = t.pop_empty + excluded.pop_empty,
        ack_requests = t.ack_requests + excluded.ack_requests,
        ack_success = t.ack_success + excluded.ack_success,
        ack_failed = t.ack_failed + excluded.ack_failed,
        transactions = t.transactions + excluded.transactions,
        dead_letters = t.dead_letters + excluded.dead_letters,
        partitions_created = t.partitions_created + excluded.partitions_created,
        db_errors = t.db_errors + excluded.db_errors,
        lag_count = t.lag_count + excluded.lag_count,
        lag_sum_ms = t.lag_sum_ms + excluded.lag_sum_ms,
        lag_max_ms = greatest(t.lag_max_ms, excluded.lag_max_ms),
        samples = t.samples + excluded.samples,
        figures = regent.merged_figures(t.figures, excluded.figures)
  )
  select count(*) into n from gone;
  return v_rows + n;
end
$$;

-- Delete history older than so many days, and what is left of queues and processes that are gone: at most p_limit rows.
-- Returns how many went.
create or replace function regent.expire_metrics_v1(p_days int, p_limit int) returns int
language plpgsql set enable_seqscan = off as $$
declare
  v_before timestamptz := clock_timestamp() - make_interval(days => p_days);
  v_left int := p_limit;
  v_span int;
  n int;
begin
  foreach v_span in array array[1, 60] loop
    delete from regent.queue_metrics where ctid = any(array(
      select ctid from regent.queue_metrics where span_minutes = v_span and bucket < v_before order by bucket limit v_left));
    get diagnostics n = row_count;
    v_left := v_left - n;
    delete from regent.worker_metrics where ctid = any(array(
      select ctid from regent.worker_metrics where span_minutes = v_span and bucket < v_before order by bucket limit v_left));
    get diagnostics n = row_count;
    v_left := v_left - n;
  end loop;
  -- A process that has not written for so long sends nothing again.
  delete from regent.metric_writers where id = any(array(
    select id from regent.metric_writers where written_at < clock_timestamp() - interval '7 days' limit v_left));
  get diagnostics n = row_count;
  v_left := v_left - n;
  delete from regent.queue_totals where queue_id = any(array(
    select t.queue_id from regent.queue_totals t
      where not exists (select from regent.queues q where q.id = t.queue_id) order by t.queue_id limit v_left));
  get diagnostics n = row_count;
  return p_limit - v_left + n;
end
$$;
