-- Single messages for people who look with plain SQL. data is the client's own JSON text: cast it where it allows that.
create or replace view regent.messages as
  select q.name as queue, p.name as partition, s.partition_id, s.first + l.ord - 1 as position,
         regent.message_id(s.partition_id, s.first + l.ord - 1) as id,
         (split_part(l.line, ',"data":', 1) || '}')::json ->> 'transactionId' as transaction_id,
         s.created_at,
         substr(l.line, strpos(l.line, ',"data":') + 8, length(l.line) - strpos(l.line, ',"data":') - 8) as data
    from regent.segments s
    join regent.partitions p on p.id = s.partition_id
    join regent.queues q on q.id = p.queue_id
    cross join lateral string_to_table(s.body, E'\n') with ordinality as l(line, ord);
