module gowindows.dev/lab/windows-layer

go 1.26

require (
	github.com/Microsoft/go-winio v0.6.2
	golang.org/x/sys v0.10.0
)
