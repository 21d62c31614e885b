-- The history in series, for dashboards. A bucket is p_minutes wide and aligned to the epoch; what is old is there by the
-- hour only, so `seconds` says how long a bucket really is. Ranges take every minute or hour they touch.

-- One leaf of a sampled figure.
create or replace function regent.figure(p_figures jsonb, p_name text, p_leaf text) returns float8
language sql immutable parallel safe as $$
  select (p_figures->p_name->>p_leaf)::float8
$$;

-- What the processes did and how they were, per bucket, newest first.
create or replace function regent.worker_series_v1(p_from timestamptz, p_to timestamptz, p_minutes int, p_hostname text, p_worker int)
returns table (bucket text, seconds float8, push_requests float8, push_messages float8, pop_requests float8, pop_messages float8,
               ack_requests float8, ack_success float8, ack_failed float8, transactions float8, dlq float8, db_errors float8,
               lag_count float8, avg_lag_ms float8, max_lag_ms float8, samples float8, avg_loop_ms float8, max_loop_ms float8,
               avg_free float8, min_free float8, avg_waiting float8, max_waiting float8, pool_size float8, pool_active float8,
               cpu_user float8, cpu_system float8, rss_bytes float8)
language sql stable as $$
  select regent.wire_seconds(m.bin), greatest(p_minutes, max(m.span_minutes)) * 60::float8, sum(m.push_requests)::float8, sum(m.push_messages)::float8,
         sum(m.pop_requests)::float8, sum(m.pop_messages)::float8, sum(m.ack_requests)::float8, sum(m.ack_success)::float8, sum(m.ack_failed)::float8,
         sum(m.transactions)::float8, sum(m.dead_letters)::float8, sum(m.db_errors)::float8,
         sum(m.lag_count)::float8, coalesce(sum(m.lag_sum_ms) / nullif(sum(m.lag_count), 0), 0)::float8, max(m.lag_max_ms),
         sum(m.samples)::float8,
         sum(regent.figure(m.figures, 'loop.delay_ms', 'sum')) / nullif(sum(m.samples), 0), max(regent.figure(m.figures, 'loop.max_ms', 'max')),
         sum(regent.figure(m.figures, 'database.pool_idle', 'sum')) / nullif(sum(m.samples), 0), min(regent.figure(m.figures, 'database.pool_idle', 'min')),
         sum(regent.figure(m.figures, 'lanes.waiting', 'sum')) / nullif(sum(m.samples), 0), max(regent.figure(m.figures, 'lanes.waiting', 'max')),
         sum(regent.figure(m.figures, 'database.pool_size', 'sum')) / nullif(sum(m.samples), 0),
         sum(regent.figure(m.figures, 'database.pool_active', 'sum')) / nullif(sum(m.samples), 0),
         sum(regent.figure(m.figures, 'cpu.user_us', 'sum')) / nullif(sum(m.samples), 0),
         sum(regent.figure(m.figures, 'cpu.system_us', 'sum')) / nullif(sum(m.samples), 0),
         sum(regent.figure(m.figures, 'memory.rss_bytes', 'sum')) / nullif(sum(m.samples), 0)
    from (
      select *, date_bin(make_interval(mins => p_minutes), w.bucket, 'epoch') as bin from regent.worker_metrics w
        where w.span_minutes in (1, 60) and w.bucket > p_from - interval '1 hour' and w.bucket <= p_to
          and w.bucket + make_interval(mins => w.span_minutes) > p_from
          and (p_hostname is null or w.hostname = p_hostname) and (p_worker is null or w.worker = p_worker)) as m
    group by m.bin order by m.bin desc
$$;

-- The processes of the last minutes.
create or replace function regent.recent_workers_v1(p_minutes int, p_hostname text, p_worker int)
returns table (hostname text, worker_id int, avg_event_loop_lag_ms float8, max_event_loop_lag_ms float8, free_slots float8, db_connections float8,
               job_queue_size float8, messages_processed float8, last_seen text)
language sql stable as $$
  select m.hostname, m.worker,
         coalesce(sum(regent.figure(m.figures, 'loop.delay_ms', 'sum')) / nullif(sum(m.samples), 0), 0),
         coalesce(max(regent.figure(m.figures, 'loop.max_ms', 'max')), 0),
         coalesce((array_agg(regent.figure(m.figures, 'database.pool_idle', 'last') order by m.bucket desc))[1], 0),
         coalesce((array_agg(regent.figure(m.figures, 'database.pool_size', 'last') order by m.bucket desc))[1], 0),
         coalesce((array_agg(regent.figure(m.figures, 'lanes.waiting', 'last') order by m.bucket desc))[1], 0),
         sum(m.push_messages + m.pop_messages + m.ack_success + m.ack_failed)::float8,
         regent.wire_seconds(max(m.bucket))
    from regent.worker_metrics m
    where m.span_minutes = 1 and m.bucket > clock_timestamp() - make_interval(mins => p_minutes + 1)
      and (p_hostname is null or m.hostname = p_hostname) and (p_worker is null or m.worker = p_worker)
    group by m.hostname, m.worker order by m.hostname, m.worker
$$;

-- The rows of regent.queue_metrics that a range touches.
create or replace function regent.queue_history(p_from timestamptz, p_to timestamptz, p_queue text, p_namespace text, p_task text)
returns setof regent.queue_metrics language sql stable as $$
  select m.* from regent.queue_metrics m
    where m.span_minutes in (1, 60) and m.bucket > p_from - interval '1 hour' and m.bucket <= p_to
      and m.bucket + make_interval(mins => m.span_minutes) > p_from
      and (p_queue is null or m.queue = p_queue)
      and ((p_namespace is null and p_task is null) or exists (
        select from regent.queues q where q.name = m.queue
          and (p_namespace is null or q.namespace = p_namespace) and (p_task is null or q.task = p_task)))
$$;

-- Throughput of the queues that fit, all together, per bucket.
create or replace function regent.throughput_series_v1(p_from timestamptz, p_to timestamptz, p_minutes int, p_queue text, p_namespace text, p_task text)
returns table (bucket text, seconds float8, push_messages float8, pop_messages float8, ack_success float8)
language sql stable as $$
  select regent.wire_seconds(m.bin), greatest(p_minutes, max(m.span_minutes)) * 60::float8,
         sum(m.push_messages)::float8, sum(m.pop_messages)::float8, sum(m.ack_success)::float8
    from (select *, date_bin(make_interval(mins => p_minutes), h.bucket, 'epoch') as bin
            from regent.queue_history(p_from, p_to, p_queue, p_namespace, p_task) h) as m
    group by m.bin order by m.bin desc
$$;

-- What happened to each queue, per bucket, oldest first.
create or replace function regent.queue_series_v1(p_from timestamptz, p_to timestamptz, p_minutes int, p_queue text)
returns table (bucket text, seconds float8, queue_name text, push_requests float8, push_messages float8, pop_messages float8, pop_empty float8,
               ack_requests float8, ack_success float8, ack_failed float8, transactions float8, partitions_created float8,
               partitions_deleted float8, partition_count int, avg_lag_ms float8, max_lag_ms float8, parked_count float8)
language sql stable as $$
  select regent.wire_seconds(n.bin), n.seconds, n.queue, n.push_requests, n.push_messages, n.pop_messages, n.pop_empty, n.ack_requests,
         n.ack_success, n.ack_failed, n.transactions, n.partitions_created, n.partitions_deleted, n.partition_count,
         coalesce(n.lag_sum_ms / nullif(n.lag_count, 0), 0), n.lag_max_ms,
         -- Of a bucket that is not over, the part that is.
         n.parked_ms / 1000 / least(n.seconds, greatest(extract(epoch from clock_timestamp() - n.bin), 1))::float8
    from (
      select m.bin, m.queue, (greatest(p_minutes, max(m.span_minutes)) * 60)::float8 as seconds, sum(m.push_requests)::float8 as push_requests,
             sum(m.push_messages)::float8 as push_messages, sum(m.pop_messages)::float8 as pop_messages, sum(m.pop_empty)::float8 as pop_empty,
             sum(m.ack_requests)::float8 as ack_requests, sum(m.ack_success)::float8 as ack_success, sum(m.ack_failed)::float8 as ack_failed,
             sum(m.transactions)::float8 as transactions, sum(m.partitions_created)::float8 as partitions_created,
             sum(m.partitions_deleted)::float8 as partitions_deleted,
             (array_agg(m.partition_count order by m.bucket desc) filter (where m.partition_count is not null))[1] as partition_count,
             sum(m.lag_count)::float8 as lag_count, sum(m.lag_sum_ms) as lag_sum_ms, max(m.lag_max_ms) as lag_max_ms, sum(m.parked_ms) as parked_ms
        from (
          select date_bin(make_interval(mins => p_minutes), bucket, 'epoch') as bin, bucket, span_minutes, queue, push_requests, push_messages, pop_messages, pop_empty, ack_requests, ack_success,
                 ack_failed, transactions, partitions_created, lag_count, lag_sum_ms, lag_max_ms, parked_ms, partition_count, 0 as partitions_deleted
            from regent.queue_history(p_from, p_to, p_queue, null, null)
          union all
          select date_bin(make_interval(mins => p_minutes), r.bucket, 'epoch'), r.bucket, 1, r.queue,
                 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, null, r.partitions_deleted
            from regent.retention_history r
            where r.bucket > p_from - interval '1 minute' and r.bucket <= p_to and r.partitions_deleted > 0 and (p_queue is null or r.queue = p_queue)
        ) as m
        group by m.bin, m.queue) as n
    order by n.bin, n.queue
$$;

-- Lag at delivery by queue, as fine as it is kept; newest first.
create or replace function regent.queue_lag_v1(p_from timestamptz, p_to timestamptz, p_queue text)
returns table (bucket_time text, queue_name text, pop_count float8, avg_lag_ms float8, max_lag_ms float8)
language sql stable as $$
  select regent.wire_seconds(m.bucket), m.queue, sum(m.pop_messages)::float8,
         coalesce(sum(m.lag_sum_ms) / nullif(sum(m.lag_count), 0), 0)::float8, max(m.lag_max_ms)
    from regent.queue_history(p_from, p_to, p_queue, null, null) m
    group by m.bucket, m.queue having sum(m.pop_messages) > 0 order by m.bucket desc, m.queue
$$;

-- The queues that messages were taken from, busiest first.
create or replace function regent.busy_queues_v1(p_from timestamptz, p_to timestamptz, p_hostname text, p_worker int)
returns table (queue_name text, pop_count float8, avg_lag_ms float8, max_lag_ms float8)
language sql stable as $$
  select m.queue, sum(m.pop_messages)::float8, coalesce(sum(m.lag_sum_ms) / nullif(sum(m.lag_count), 0), 0)::float8, max(m.lag_max_ms)
    from regent.queue_history(p_from, p_to, null, null, null) m
    where (p_hostname is null or m.hostname = p_hostname) and (p_worker is null or m.worker = p_worker)
    group by m.queue having sum(m.pop_messages) > 0 order by sum(m.pop_messages) desc, m.queue
$$;

-- Average number of parked pops by queue and process, per bucket, oldest first.
create or replace function regent.parked_series_v1(p_from timestamptz, p_to timestamptz, p_minutes int, p_queue text)
returns table (bucket text, queue_name text, hostname text, worker_id int, parked_count float8)
language sql stable as $$
  select regent.wire_seconds(m.bin), m.queue, m.hostname, m.worker,
         sum(m.parked_ms) / 1000 / least(greatest(p_minutes, max(m.span_minutes)) * 60, greatest(extract(epoch from clock_timestamp() - m.bin), 1))::float8
    from (select *, date_bin(make_interval(mins => p_minutes), h.bucket, 'epoch') as bin
            from regent.queue_history(p_from, p_to, p_queue, null, null) h) as m
    group by m.bin, m.queue, m.hostname, m.worker having sum(m.parked_ms) > 0 order by m.bin, m.queue, m.hostname, m.worker
$$;

-- Sampled figures of each process, per bucket, oldest first: {"name": {"avg", "min", "max", "last"}}.
create or replace function regent.system_series_v1(p_from timestamptz, p_to timestamptz, p_minutes int, p_hostname text, p_worker text)
returns table (hostname text, port int, worker_id text, bucket text, sample_count int, figures json)
language sql stable as $$
  select m.hostname, m.port, m.worker_id, regent.wire_millis(m.bin), m.samples::int,
         (select json_object_agg(f.name, f.leaf) from (
           select l.key as name, json_build_object('avg', sum((l.value->>'sum')::float8) / m.samples, 'min', min((l.value->>'min')::float8),
                    'max', max((l.value->>'max')::float8), 'last', (array_agg((l.value->>'last')::float8 order by x.bucket desc))[1]) as leaf
             from unnest(m.rows) as x cross join lateral jsonb_each(x.figures) as l group by l.key) as f)
    from (
      select w.hostname, w.port, w.worker_id, date_bin(make_interval(mins => p_minutes), w.bucket, 'epoch') as bin, sum(w.samples) as samples,
             array_agg(w) as rows
        from regent.worker_metrics w
        where w.span_minutes in (1, 60) and w.bucket > p_from - interval '1 hour' and w.bucket <= p_to
          and w.bucket + make_interval(mins => w.span_minutes) > p_from and w.samples > 0
          and (p_hostname is null or w.hostname = p_hostname) and (p_worker is null or w.worker_id = p_worker)
        group by 1, 2, 3, 4) as m
    order by m.hostname, m.port, m.worker_id, m.bin
$$;

-- What the background jobs deleted, per bucket, oldest first.
create or replace function regent.retention_series_v1(p_from timestamptz, p_to timestamptz, p_minutes int, p_queue text)
returns table (bucket text, retention_msgs float8, completed_retention_msgs float8, eviction_msgs float8, total_msgs float8, event_count float8)
language sql stable as $$
  select regent.wire_seconds(m.bin), sum(m.retention_msgs)::float8, sum(m.completed_retention_msgs)::float8, sum(m.eviction_msgs)::float8,
         sum(m.retention_msgs + m.completed_retention_msgs + m.eviction_msgs)::float8, sum(m.events)::float8
    from (select *, date_bin(make_interval(mins => p_minutes), r.bucket, 'epoch') as bin from regent.retention_history r
            where r.bucket > p_from - interval '1 minute' and r.bucket <= p_to and (p_queue is null or r.queue = p_queue)) as m
    group by m.bin order by m.bin
$$;

-- Messages pushed per minute, hour, day, week or month, oldest first, also where there were none.
create or replace function regent.pushed_per_unit_v1(p_from timestamptz, p_to timestamptz, p_unit text, p_queue text, p_namespace text, p_task text)
returns table (at text, messages float8)
language sql stable as $$
  with counted as (
    select date_trunc(p_unit, h.bucket, 'UTC') as at, sum(h.push_messages) as messages
      from regent.queue_history(p_from, p_to, p_queue, p_namespace, p_task) h group by 1
  )
  select regent.wire_millis(s.at at time zone 'UTC'), coalesce(c.messages, 0)::float8
    from generate_series(date_trunc(p_unit, p_from at time zone 'UTC'), p_to at time zone 'UTC', ('1 ' || p_unit)::interval) as s(at)
    left join counted c on c.at = s.at at time zone 'UTC'
    order by s.at
$$;

-- The whole in figures. Totals are of all processes since the schema was made; the rest is as it is now.
-- batch_size: messages that live leases cover; batch_acked: those of them that were acknowledged out of order.
create or replace function regent.status_v1()
returns table (totals json, totals_age int, pending float8, dead_letters float8, active_leases float8, leased_partitions float8,
               batch_size float8, batch_acked float8)
language sql stable as $$
  select (select coalesce(json_object_agg(name, value), '{}') from regent.metric_totals),
         (select extract(epoch from clock_timestamp() - max(updated_at))::int from regent.metric_totals),
         (select coalesce(sum(unread), 0)::float8 from regent.partition_counts(null, null)),
         (select count(*)::float8 from regent.dead_letters),
         count(distinct l.lease_id)::float8, count(distinct l.partition_id)::float8, coalesce(sum(l.size), 0)::float8, coalesce(sum(l.acked), 0)::float8
    from (
      select c.lease_id, c.partition_id, greatest(c.lease_to - c.committed, 0) as size,
             (select coalesce(sum(upper(r) - lower(r)), 0) from unnest(c.acked * int8multirange(int8range(null, c.lease_to, '[]'))) as r) as acked
        from regent.cursors c
        where c.lease_id is not null and c.available_at > clock_timestamp() and c.available_at < 'infinity') as l
$$;

-- Queues that messages were ever pushed to.
create or replace function regent.used_queues_v1(p_queue text, p_namespace text, p_task text)
returns table (id text, name text, namespace text, task text, partitions float8, total_consumed float8)
language sql stable as $$
  select q.id::text, q.name, q.namespace, q.task, p.partitions::float8, coalesce(t.acked, 0)::float8
    from regent.queues q
    join (select queue_id, count(*) as partitions, max(head) as head from regent.partitions group by queue_id) as p on p.queue_id = q.id
    left join regent.queue_totals t on t.queue_id = q.id
    where p.head > 0 and (p_queue is null or q.name = p_queue) and (p_namespace is null or q.namespace = p_namespace)
      and (p_task is null or q.task = p_task)
    order by q.name
$$;

-- What scrapers are shown of all processes: running totals, and the latest minute of each queue and process that has one
-- within five minutes.
create or replace function regent.scrape_v1() returns table (totals json, queues json, workers json, dead_letters json)
language sql stable as $$
  with queue_minutes as (
    select m.*, max(m.bucket) over (partition by m.queue) as latest from regent.queue_metrics m
      where m.span_minutes = 1 and m.bucket > clock_timestamp() - interval '5 minutes'
  ), worker_minutes as (
    select m.*, max(m.bucket) over (partition by m.hostname, m.worker_id, m.pid) as latest from regent.worker_metrics m
      where m.span_minutes = 1 and m.bucket > clock_timestamp() - interval '5 minutes'
  )
  select
    (select json_object_agg(name, value) from regent.metric_totals),
    (select json_agg(q order by q.queue) from (
      select queue, sum(push_requests) as push_requests, sum(push_messages) as push_messages, sum(pop_messages) as pop_messages,
             sum(pop_empty) as pop_empty, sum(transactions) as transactions, sum(ack_success) as ack_success, sum(ack_failed) as ack_failed,
             coalesce(sum(lag_sum_ms) / nullif(sum(lag_count), 0), 0) as avg_lag_ms, max(lag_max_ms) as max_lag_ms,
             sum(parked_ms) / 60000 as parked, extract(epoch from clock_timestamp() - max(bucket))::float8 as age_seconds
        from queue_minutes where bucket = latest group by queue) as q),
    (select json_agg(w order by w.hostname, w.worker_id, w.pid) from (
      select hostname, worker_id, pid, push_requests, push_messages, pop_requests, pop_messages, ack_requests, ack_success, ack_failed,
             transactions, dead_letters, db_errors, coalesce(lag_sum_ms / nullif(lag_count, 0), 0) as avg_lag_ms, lag_max_ms as max_lag_ms,
             coalesce(regent.figure(figures, 'loop.delay_ms', 'sum') / nullif(samples, 0), 0) as avg_loop_ms,
             coalesce(regent.figure(figures, 'loop.max_ms', 'max'), 0) as max_loop_ms,
             coalesce(regent.figure(figures, 'lanes.waiting', 'sum') / nullif(samples, 0), 0) as avg_waiting,
             coalesce(regent.figure(figures, 'lanes.waiting', 'max'), 0) as max_waiting,
             coalesce(regent.figure(figures, 'database.pool_idle', 'sum') / nullif(samples, 0), 0) as avg_free,
             coalesce(regent.figure(figures, 'database.pool_idle', 'min'), 0) as min_free,
             coalesce(regent.figure(figures, 'database.pool_size', 'last'), 0) as pool_size,
             extract(epoch from clock_timestamp() - bucket)::float8 as age_seconds
        from worker_minutes where bucket = latest) as w),
    (select json_agg(d order by d.queue) from (
      select l.queue, count(*) as messages from regent.dead_letters l join regent.queues q on q.id = l.queue_id group by l.queue) as d)
$$;

-- What PostgreSQL knows about itself, as far as it concerns our schema.
create or replace function regent.postgres_stats_v1(p_schema text) returns json
language plpgsql stable as $$
declare
  v_usage json := '[]';
  v_schema text;
begin
  select n.nspname into v_schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'pg_buffercache';
  if found then
    begin
      execute format($q$
        select coalesce(json_agg(u order by u.buffered_bytes desc), '[]') from (
          select c.relname as object, pg_size_pretty(count(*) * current_setting('block_size')::bigint) as buffered_size,
                 count(*) * current_setting('block_size')::bigint as buffered_bytes,
                 round(100.0 * count(*) / (select setting::bigint from pg_settings where name = 'shared_buffers'), 2)::float8 as percent_of_cache
            from %I.pg_buffercache b
            join pg_class c on b.relfilenode = pg_relation_filenode(c.oid)
            join pg_namespace n on n.oid = c.relnamespace and n.nspname = $1
            where b.reldatabase = (select oid from pg_database where datname = current_database())
            group by c.relname order by count(*) desc limit 50) as u$q$, v_schema) into v_usage using p_schema;
    exception when insufficient_privilege then
      null;   -- it may be there and not be for us
    end;
  end if;
  return json_build_object(
    'timestamp', regent.wire_millis(clock_timestamp()),
    'database', current_database(),
    'database_cache', (
      select json_build_object('database', datname, 'disk_reads', blks_read, 'cache_hits', blks_hit,
               'cache_hit_ratio', round(100.0 * blks_hit / nullif(blks_hit + blks_read, 0), 2))
        from pg_stat_database where datname = current_database()),
    'table_cache', (
      select coalesce(json_agg(json_build_object('schema', schemaname, 'table', relname, 'disk_reads', coalesce(heap_blks_read, 0),
               'cache_hits', coalesce(heap_blks_hit, 0), 'cache_hit_ratio', round(100.0 * heap_blks_hit / nullif(heap_blks_hit + heap_blks_read, 0), 2))
               order by coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) desc, relname), '[]')
        from pg_statio_all_tables where schemaname = p_schema),
    'index_cache', (
      select coalesce(json_agg(json_build_object('schema', schemaname, 'table', relname, 'index', indexrelname, 'disk_reads', coalesce(idx_blks_read, 0),
               'cache_hits', coalesce(idx_blks_hit, 0), 'cache_hit_ratio', round(100.0 * idx_blks_hit / nullif(idx_blks_hit + idx_blks_read, 0), 2))
               order by coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0) desc, indexrelname), '[]')
        from pg_statio_all_indexes where schemaname = p_schema),
    'cache_summary', (
      select json_build_object(
          'tables', json_build_object('disk_reads', coalesce(sum(heap_blks_read), 0), 'cache_hits', coalesce(sum(heap_blks_hit), 0),
            'hit_ratio', round(100.0 * sum(heap_blks_hit) / nullif(sum(heap_blks_hit) + sum(heap_blks_read), 0), 2)),
          'indexes', json_build_object('disk_reads', coalesce(sum(idx_blks_read), 0), 'cache_hits', coalesce(sum(idx_blks_hit), 0),
            'hit_ratio', round(100.0 * sum(idx_blks_hit) / nullif(sum(idx_blks_hit) + sum(idx_blks_read), 0), 2)))
        from pg_statio_all_tables where schemaname = p_schema),
    'dead_tuples', (
      select coalesce(json_agg(json_build_object('schema', schemaname, 'table', relname, 'dead_tuples', n_dead_tup, 'live_tuples', n_live_tup,
               'dead_percentage', round(100.0 * n_dead_tup / nullif(n_live_tup + n_dead_tup, 0), 2),
               'last_vacuum', regent.wire_seconds(last_vacuum), 'last_autovacuum', regent.wire_seconds(last_autovacuum))
               order by n_dead_tup desc, relname), '[]')
        from pg_stat_all_tables where schemaname = p_schema),
    'hot_updates', (
      select coalesce(json_agg(json_build_object('schema', schemaname, 'table', relname, 'total_updates', n_tup_upd, 'hot_updates', n_tup_hot_upd,
               'hot_update_percentage', round(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 2)) order by n_tup_upd desc, relname), '[]')
        from pg_stat_all_tables where schemaname = p_schema),
    'active_queries', (
      select coalesce(json_agg(json_build_object('pid', pid, 'duration', round(extract(epoch from clock_timestamp() - query_start)::numeric, 3),
               'state', state, 'query', left(query, 200), 'wait_event_type', wait_event_type, 'wait_event', wait_event) order by query_start), '[]')
        from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and state <> 'idle'
          and query_start < clock_timestamp() - interval '1 second'),
    'autovacuum_status', (
      select coalesce(json_agg(json_build_object('table', relname, 'last_autovacuum', regent.wire_seconds(last_autovacuum), 'dead_tuples', n_dead_tup,
               'autovacuum_count', autovacuum_count, 'autoanalyze_count', autoanalyze_count) order by n_dead_tup desc, relname), '[]')
        from pg_stat_all_tables where schemaname = p_schema),
    'buffer_config', json_build_object('shared_buffers', (select setting from pg_settings where name = 'shared_buffers'),
      'shared_buffers_size', current_setting('shared_buffers')),
    'buffer_usage', v_usage,
    'table_sizes', (
      select coalesce(json_agg(json_build_object('table', s.relname, 'total_size', pg_size_pretty(s.total), 'total_size_bytes', s.total,
               'table_size', pg_size_pretty(s.heap), 'table_size_bytes', s.heap, 'index_size', pg_size_pretty(s.indexes),
               'index_size_bytes', s.indexes) order by s.total desc, s.relname), '[]')
        from (
          -- Null where the table was dropped meanwhile.
          select t.relname, pg_total_relation_size(t.relid) as total, pg_table_size(t.relid) as heap, pg_indexes_size(t.relid) as indexes
            from pg_stat_all_tables t where t.schemaname = p_schema) as s
        where s.total is not null));
end
$$;
