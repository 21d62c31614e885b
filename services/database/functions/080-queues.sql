-- Create a queue or configure it anew, and make sure its partition Default exists. o holds options by their wire names;
-- with p_merge what it leaves out stays as it is (labels given as null too), else it holds all of them.
drop function if exists regent.configure_v1(text, text, text, json);
create or replace function regent.configure_v2(p_name text, p_namespace text, p_task text, o json, p_merge boolean)
returns table (queue_id bigint, partition_id bigint, namespace text, task text, options json)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
  v_before regent.queues;
  v_after regent.queues;
begin
  insert into regent.queues (name, namespace, task)
    values (p_name, coalesce(p_namespace, case when p_merge then split_part(p_name, '.', 1) else '' end),
            coalesce(p_task, case when p_merge then split_part(p_name, '.', 2) else '' end))
    on conflict (name) do nothing;
  -- Against new partitions: see regent.ensure_partitions_v2.
  select * into v_before from regent.queues where name = p_name for update;
  update regent.queues t set
      namespace = coalesce(p_namespace, t.namespace),
      task = coalesce(p_task, t.task),
      priority = coalesce((o->>'priority')::int, t.priority),
      lease_seconds = coalesce((o->>'leaseTime')::int, t.lease_seconds),
      retry_limit = coalesce((o->>'retryLimit')::int, t.retry_limit),
      retry_delay_ms = coalesce((o->>'retryDelay')::int, t.retry_delay_ms),
      max_size = coalesce((o->>'maxSize')::int, t.max_size),
      ttl_seconds = coalesce((o->>'ttl')::int, t.ttl_seconds),
      dead_letter_queue = coalesce((o->>'deadLetterQueue')::boolean, t.dead_letter_queue),
      dlq_after_max_retries = coalesce((o->>'dlqAfterMaxRetries')::boolean, t.dlq_after_max_retries),
      delayed_processing_seconds = coalesce((o->>'delayedProcessing')::int, t.delayed_processing_seconds),
      window_buffer_seconds = coalesce((o->>'windowBuffer')::int, t.window_buffer_seconds),
      window_buffer_max_seconds = coalesce((o->>'windowBufferMax')::int, t.window_buffer_max_seconds),
      retention_seconds = coalesce((o->>'retentionSeconds')::int, t.retention_seconds),
      completed_retention_seconds = coalesce((o->>'completedRetentionSeconds')::int, t.completed_retention_seconds),
      retention_enabled = coalesce((o->>'retentionEnabled')::boolean, t.retention_enabled),
      encryption_enabled = coalesce((o->>'encryptionEnabled')::boolean, t.encryption_enabled),
      max_wait_seconds = coalesce((o->>'maxWaitTimeSeconds')::int, t.max_wait_seconds),
      dedup_window_seconds = coalesce((o->>'dedupWindowSeconds')::int, t.dedup_window_seconds)
    where t.id = v_before.id returning * into v_after;
  if (v_after.encryption_enabled, v_after.max_size, v_after.dedup_window_seconds)
      is distinct from (v_before.encryption_enabled, v_before.max_size, v_before.dedup_window_seconds) then
    update regent.queues set push_version = push_version + 1 where id = v_after.id;
    -- In the order in which pushes lock them.
    perform from regent.partitions where queue_id = v_after.id order by id for update;
    update regent.partitions set push_version = v_before.push_version + 1 where queue_id = v_after.id;
  end if;
  -- What waits for a delay that may have been shortened is looked at again; pop puts it back if it still has to wait.
  with waiting as (
    select t.partition_id, t.group_id from regent.cursors t
      where t.group_id in (select g.id from regent.groups g where g.queue_id = v_after.id)
        and t.available_at > clock_timestamp() and t.available_at < 'infinity' and t.lease_id is null
      order by t.partition_id, t.group_id for update
  )
  update regent.cursors t set available_at = clock_timestamp()
    from waiting w where t.partition_id = w.partition_id and t.group_id = w.group_id and t.lease_id is null;
  return query
    select e.queue_id, e.partition_id, v_after.namespace, v_after.task, json_build_object(
        'priority', v_after.priority, 'leaseTime', v_after.lease_seconds, 'retryLimit', v_after.retry_limit,
        'retryDelay', v_after.retry_delay_ms, 'maxSize', v_after.max_size, 'ttl', v_after.ttl_seconds,
        'deadLetterQueue', v_after.dead_letter_queue, 'dlqAfterMaxRetries', v_after.dlq_after_max_retries,
        'delayedProcessing', v_after.delayed_processing_seconds, 'windowBuffer', v_after.window_buffer_seconds,
        'windowBufferMax', v_after.window_buffer_max_seconds, 'retentionSeconds', v_after.retention_seconds,
        'completedRetentionSeconds', v_after.completed_retention_seconds, 'retentionEnabled', v_after.retention_enabled,
        'encryptionEnabled', v_after.encryption_enabled, 'maxWaitTimeSeconds', v_after.max_wait_seconds,
        'dedupWindowSeconds', v_after.dedup_window_seconds)
      from regent.ensure_partitions_v2(array[p_name], array['Default']) e;
end
$$;
