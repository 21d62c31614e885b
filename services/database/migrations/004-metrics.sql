-- Settings that hold for all processes on this database.
create table regent.settings (
  key text collate "C" primary key,
  value jsonb not null,
  updated_at timestamptz not null default clock_timestamp()
);

-- Who writes metrics, and up to which of its writes they have arrived: one that is sent again counts once.
create table regent.metric_writers (
  id uuid primary key,
  seq bigint not null,
  written_at timestamptz not null default clock_timestamp()
);

-- Running totals of all processes, since the schema was made. They outlive the histories below.
create table regent.metric_totals (
  name text collate "C" primary key,
  value bigint not null default 0,
  updated_at timestamptz not null default clock_timestamp()
);
create table regent.queue_totals (
  queue_id bigint primary key,
  pushed bigint not null default 0,
  popped bigint not null default 0,
  acked bigint not null default 0
);

-- Histories, a row per bucket, process and (in the first) queue. Buckets are minutes, and hours once they are old:
-- span_minutes tells. A bucket holds what happened in it; the lag is that of delivered messages.
-- ack_success: acknowledged as completed; ack_failed: reported as failed, for retry or dead, and refused ones.
-- parked_ms: time that pops spent waiting, of all of them together.
create table regent.queue_metrics (
  bucket timestamptz not null,
  span_minutes smallint not null default 1,
  queue text collate "C" not null,
  hostname text collate "C" not null,
  worker_id text collate "C" not null,
  worker int not null default 0,
  push_requests bigint not null default 0,
  push_messages bigint not null default 0,
  pop_requests bigint not null default 0,
  pop_messages bigint not null default 0,
  pop_empty bigint not null default 0,
  ack_requests bigint not null default 0,
  ack_success bigint not null default 0,
  ack_failed bigint not null default 0,
  transactions bigint not null default 0,
  dead_letters bigint not null default 0,
  partitions_created bigint not null default 0,
  lag_count bigint not null default 0,
  lag_sum_ms float8 not null default 0,
  lag_max_ms float8 not null default 0,
  parked_ms float8 not null default 0,
  partition_count int,
  primary key (span_minutes, bucket, queue, hostname, worker_id)
);
create index queue_metrics_by_queue on regent.queue_metrics (queue, bucket);

-- figures: sampled figures of the process, {"name": {"sum", "min", "max", "last"}} over `samples` samples.
create table regent.worker_metrics (
  bucket timestamptz not null,
  span_minutes smallint not null default 1,
  hostname text collate "C" not null,
  worker_id text collate "C" not null,
  worker int not null default 0,
  pid int not null,
  port int not null default 0,
  push_requests bigint not null default 0,
  push_messages bigint not null default 0,
  pop_requests bigint not null default 0,
  pop_messages bigint not null default 0,
  pop_empty bigint not null default 0,
  ack_requests bigint not null default 0,
  ack_success bigint not null default 0,
  ack_failed bigint not null default 0,
  transactions bigint not null default 0,
  dead_letters bigint not null default 0,
  partitions_created bigint not null default 0,
  db_errors bigint not null default 0,
  lag_count bigint not null default 0,
  lag_sum_ms float8 not null default 0,
  lag_max_ms float8 not null default 0,
  samples int not null default 0,
  figures jsonb not null default '{}',
  primary key (span_minutes, bucket, hostname, worker_id, pid)
);
