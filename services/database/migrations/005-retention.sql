-- What the background jobs deleted, per queue and minute.
create table regent.retention_history (
  bucket timestamptz not null,
  queue text collate "C" not null,
  retention_msgs bigint not null default 0,
  completed_retention_msgs bigint not null default 0,
  eviction_msgs bigint not null default 0,
  partitions_deleted bigint not null default 0,
  -- Deletions counted above: one per partition and run.
  events bigint not null default 0,
  primary key (bucket, queue)
);
create index retention_history_by_queue on regent.retention_history (queue, bucket);

-- A row with neither stands for a queue that is gone: its dead letters are left.
alter table regent.removals
  drop constraint removals_check,
  add constraint removals_check check (partition_id is null or group_id is null);
