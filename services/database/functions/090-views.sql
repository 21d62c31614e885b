-- Single messages for people who look with plain SQL, without those that were deleted. data is the client's own JSON text:
-- cast it where it allows that. Of a sealed message (services/encryption/sealed-line.ts) it is the envelope, which only
-- the service can open.
create or replace view regent.messages as
  select q.name as queue, p.name as partition, s.partition_id, s.first + l.ord - 1 as position,
         regent.message_id(s.partition_id, s.first + l.ord - 1) as id,
         (split_part(l.line, ',"data":', 1) || '}')::json ->> 'transactionId' as transaction_id,
         s.created_at,
         substr(l.line, strpos(l.line, ',"data":') + 8,
                length(l.line) - strpos(l.line, ',"data":') - case when mark.sealed then 19 else 8 end) as data,
         mark.sealed
    from regent.segments s
    join regent.partitions p on p.id = s.partition_id
    join regent.queues q on q.id = p.queue_id
    cross join lateral string_to_table(s.body, E'\n') with ordinality as l(line, ord)
    cross join lateral (select right(l.line, 12) = ',"sealed":1}' as sealed) as mark
    where s.first + l.ord - 1 > p.tail
      and not exists (select from regent.tombstones d where d.partition_id = s.partition_id and d.position = s.first + l.ord - 1);
