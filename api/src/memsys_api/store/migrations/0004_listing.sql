-- Lists bounded by when a memory came to be, as mem0's start_date and end_date and the filter created_at ask for them.
CREATE INDEX memory_created ON memory_versions (project, created_at) WHERE recorded_to IS NULL;
