"""The ranking server: answers with the released model, from a snapshot of features, and logs what it used."""
