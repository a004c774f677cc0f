-- What a campaign's waiting room signs its tickets with (122 random bits, as gen_random_uuid makes
-- them). Every campaign has one; the cell is told of it only with a waiting room. Campaigns are few:
-- that the table is written anew takes no time.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- squawk-ignore adding-field-with-default
ALTER TABLE campaigns ADD COLUMN room_key uuid NOT NULL DEFAULT gen_random_uuid();
