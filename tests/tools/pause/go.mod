module gowindows.dev/lab/pause

go 1.26
