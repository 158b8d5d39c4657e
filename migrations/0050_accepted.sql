-- What can no longer be fetched stays lost: a person closes the gap, and the ledger keeps who did and why.

ALTER TABLE gap ADD COLUMN accepted_by TEXT;  -- who accepted the loss; NULL: nobody, the gap is open or was fetched
ALTER TABLE gap ADD COLUMN accepted_why TEXT; -- in their words
