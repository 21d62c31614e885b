-- What consumers recorded about messages. Self-contained but for the payload: names are kept as they were. data is the
-- client's own JSON text. A trace's names are in its row, so that it is deleted with them, and in trace_names, by which
-- it is found.
create table regent.traces (
  id uuid primary key default gen_random_uuid(),
  partition_id bigint not null,
  position bigint not null,
  transaction_id text collate "C" not null,
  queue text collate "C" not null,
  partition text collate "C" not null,
  consumer_group text collate "C" not null,
  event_type text collate "C" not null,
  worker_id text collate "C" not null,
  data text not null,
  names text[] not null,
  created_at timestamptz not null default clock_timestamp()
);
create index traces_by_position on regent.traces (partition_id, position);
create index traces_by_message on regent.traces (partition_id, transaction_id, created_at);
create index traces_by_age on regent.traces (created_at);

create table regent.trace_names (
  name text collate "C" not null,
  created_at timestamptz not null,
  trace_id uuid not null,
  partition_id bigint not null,
  position bigint not null,
  primary key (name, created_at, trace_id)
);

-- Dead letters are listed by when they failed, put back in the order of their messages, and deleted by age.
create index dead_letters_by_failure on regent.dead_letters (queue_id, failed_at, id);
create index dead_letters_by_message on regent.dead_letters (queue_id, partition_id, position);
create index dead_letters_by_age on regent.dead_letters (failed_at, id);
