-- Quotas that hold for two at once, and crons that go with their assistant.

-- How many of an owner's runs are pending or running, with the owner's lock: until the transaction
-- ends nobody else is told. The statement in it sees what the last holder of the lock has done.
CREATE FUNCTION unfinished_1(of_owner text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(of_owner, 0));
    RETURN (SELECT count(*) FROM runs
             WHERE owner = of_owner AND status IN ('pending', 'running'));
END
$$;

ALTER TABLE crons ADD COLUMN stamp jsonb NOT NULL DEFAULT '{}';  -- metadata of threads it makes
ALTER TABLE crons ADD COLUMN made_assistant text;  -- if a client made it: none for a graph's own

UPDATE crons c SET made_assistant = a.assistant_id
  FROM assistants a WHERE a.owner = c.owner AND a.assistant_id = c.assistant_id;

ALTER TABLE crons ADD FOREIGN KEY (owner, made_assistant) REFERENCES assistants ON DELETE CASCADE;

CREATE INDEX crons_assistant ON crons (owner, made_assistant) WHERE made_assistant IS NOT NULL;
