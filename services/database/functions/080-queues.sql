-- Create a queue or replace its whole configuration, and make sure its partition Default exists.
create or replace function regent.configure_v1(p_name text, p_namespace text, p_task text, o json)
returns table (queue_id bigint, partition_id bigint) language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
begin
  insert into regent.queues as t (name, namespace, task, priority, lease_seconds, retry_limit, retry_delay_ms, max_size, ttl_seconds,
      dead_letter_queue, dlq_after_max_retries, delayed_processing_seconds, window_buffer_seconds, retention_seconds,
      completed_retention_seconds, retention_enabled, encryption_enabled, max_wait_seconds, dedup_window_seconds)
    values (p_name, p_namespace, p_task, (o->>'priority')::int, (o->>'leaseTime')::int, (o->>'retryLimit')::int, (o->>'retryDelay')::int,
      (o->>'maxSize')::int, (o->>'ttl')::int, (o->>'deadLetterQueue')::boolean, (o->>'dlqAfterMaxRetries')::boolean,
      (o->>'delayedProcessing')::int, (o->>'windowBuffer')::int, (o->>'retentionSeconds')::int,
      (o->>'completedRetentionSeconds')::int, (o->>'retentionEnabled')::boolean, (o->>'encryptionEnabled')::boolean,
      (o->>'maxWaitTimeSeconds')::int, (o->>'dedupWindowSeconds')::int)
    on conflict (name) do update set
      namespace = excluded.namespace, task = excluded.task, priority = excluded.priority, lease_seconds = excluded.lease_seconds,
      retry_limit = excluded.retry_limit, retry_delay_ms = excluded.retry_delay_ms, max_size = excluded.max_size,
      ttl_seconds = excluded.ttl_seconds, dead_letter_queue = excluded.dead_letter_queue,
      dlq_after_max_retries = excluded.dlq_after_max_retries, delayed_processing_seconds = excluded.delayed_processing_seconds,
      window_buffer_seconds = excluded.window_buffer_seconds, retention_seconds = excluded.retention_seconds,
      completed_retention_seconds = excluded.completed_retention_seconds, retention_enabled = excluded.retention_enabled,
      encryption_enabled = excluded.encryption_enabled, max_wait_seconds = excluded.max_wait_seconds,
      dedup_window_seconds = excluded.dedup_window_seconds;
  -- What waits for a delay that may have been shortened is looked at again; pop puts it back if it still has to wait.
  update regent.cursors set available_at = clock_timestamp()
    where group_id in (select g.id from regent.groups g join regent.queues q on q.id = g.queue_id where q.name = p_name)
      and available_at > clock_timestamp() and available_at < 'infinity' and lease_id is null;
  return query select e.queue_id, e.partition_id from regent.ensure_partitions_v1(array[p_name], array['Default']) e;
end
$$;

-- Delete a queue with everything in it. Partition rows are locked first, so a push that is under way is either
-- deleted as well or finds its partition gone and starts the queue anew.
create or replace function regent.delete_queue_v1(p_name text) returns boolean
language plpgsql set enable_seqscan = off as $$
declare
  v_queue bigint;
  v_partitions bigint[];
begin
  select id into v_queue from regent.queues where name = p_name for update;
  if not found then
    return false;
  end if;
  v_partitions := array(select id from regent.partitions where queue_id = v_queue order by id for update);
  delete from regent.cursors where partition_id = any(v_partitions);
  delete from regent.attempts where partition_id = any(v_partitions);
  delete from regent.segments where partition_id = any(v_partitions);
  delete from regent.dead_letters where queue_id = v_queue;
  delete from regent.groups where queue_id = v_queue;
  delete from regent.partitions where queue_id = v_queue;
  delete from regent.queues where id = v_queue;
  return true;
end
$$;
