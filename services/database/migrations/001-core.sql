-- The packed log, its cursors and what belongs to them. No foreign keys: they cost a row lock per insert on the hot
-- path; the functions keep the references under the locks named in docs/architecture.md.

create table regent.queues (
  id bigint generated always as identity primary key,
  name text collate "C" not null unique,
  namespace text collate "C" not null default '',
  task text collate "C" not null default '',
  priority int not null default 0,
  lease_seconds int not null default 300,
  retry_limit int not null default 3,
  retry_delay_ms int not null default 1000,
  max_size int not null default 0,
  ttl_seconds int not null default 3600,
  dead_letter_queue boolean not null default false,
  dlq_after_max_retries boolean not null default false,
  delayed_processing_seconds int not null default 0,
  window_buffer_seconds int not null default 0,
  retention_seconds int not null default 0,
  completed_retention_seconds int not null default 0,
  retention_enabled boolean not null default false,
  encryption_enabled boolean not null default false,
  max_wait_seconds int not null default 0,
  dedup_window_seconds int not null default 3600,
  created_at timestamptz not null default clock_timestamp()
);
create index queues_namespace on regent.queues (namespace);
create index queues_task on regent.queues (task);

-- head: the last position written. The row lock on a partition is what makes position order equal commit order.
create table regent.partitions (
  id bigint generated always as identity primary key,
  queue_id bigint not null,
  name text collate "C" not null,
  head bigint not null default 0,
  last_at timestamptz not null default '-infinity',
  created_at timestamptz not null default clock_timestamp(),
  unique (queue_id, name)
) with (fillfactor = 60);
create index partitions_by_queue on regent.partitions (queue_id, id);

-- One row per (push call, partition): positions first .. first + count - 1, one JSON line each in body, one 53-bit
-- transaction-id hash each in tx. Rows are never updated. The toast target keeps a compressed body inside the page.
create table regent.segments (
  partition_id bigint not null,
  first bigint not null,
  count int not null,
  bytes int not null,
  created_at timestamptz not null,
  tx bigint[] not null,
  body text not null,
  primary key (partition_id, first)
) with (toast_tuple_target = 8160, autovacuum_vacuum_insert_scale_factor = 0.2);
alter table regent.segments alter column tx set storage main;

-- A consumer group of one queue. since: of what was there when it was made, messages older than this are not for it
-- (null: all are). Its cursor rows are made in steps of partition id; seeded_to is how far that has come, null once it
-- is done.
create table regent.groups (
  id bigint generated always as identity primary key,
  queue_id bigint not null,
  name text collate "C" not null,
  mode text not null default 'all',
  since timestamptz,
  seeded_to bigint default 0,
  created_at timestamptz not null default clock_timestamp(),
  unique (queue_id, name)
);

create index groups_by_name on regent.groups (name);

-- One row per (partition, group). available_at says from when the partition may be popped for the group: the past =
-- waiting, the lease's end = leased, the future = delayed or waiting to retry, infinity = nothing to read.
-- acked: positions above committed that were acknowledged out of order. retried: rows in regent.attempts exist.
create table regent.cursors (
  partition_id bigint not null,
  group_id bigint not null,
  committed bigint not null default 0,
  available_at timestamptz not null,
  lease_id uuid,
  lease_to bigint not null default 0,
  acked int8multirange not null default '{}',
  retried boolean not null default false,
  primary key (partition_id, group_id)
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
create index cursors_available on regent.cursors (group_id, available_at) where available_at < 'infinity';

-- Only for messages that were delivered before and came back: how often, and how often as failed.
create table regent.attempts (
  partition_id bigint not null,
  group_id bigint not null,
  position bigint not null,
  deliveries int not null default 0,
  failures int not null default 0,
  primary key (partition_id, group_id, position)
);

-- Self-contained: the line is a copy of the message, so it outlives the segment.
create table regent.dead_letters (
  id bigint generated always as identity primary key,
  queue_id bigint not null,
  queue text not null,
  partition_id bigint not null,
  partition text not null,
  consumer_group text collate "C" not null,
  position bigint not null,
  line text not null,
  error text not null,
  retry_count int not null,
  created_at timestamptz not null,
  failed_at timestamptz not null default clock_timestamp(),
  unique (partition_id, consumer_group, position)
);
create index dead_letters_by_queue on regent.dead_letters (queue_id, id);

-- lz4 halves storage and WAL and costs less than it saves. Where the server was built without it, bodies are stored as
-- they are: the default compression took 5 us a message of 300 bytes, more than all the rest of writing it.
do $$
begin
  alter table regent.segments alter column body set compression lz4;
  alter table regent.dead_letters alter column line set compression lz4;
exception when feature_not_supported then
  alter table regent.segments alter column body set storage external;
end
$$;
