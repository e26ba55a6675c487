// Storefront is the service of the lab and the sandbox: one embedded page that tells which build runs, and where.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

//go:embed page.html
var files embed.FS

// version is set by the linker.
var version = "unknown"

// greeting is what commits of the sandbox change.
const greeting = "Fresh bread, every morning."

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	flag.Parse()
	if err := run(*listen); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

func run(listen string) error {
	page, err := template.ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	// Proves that the time zone database is in the program: Windows has none that Go can read.
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return fmt.Errorf("load a time zone: %w", err)
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		_ = page.Execute(w, map[string]string{
			"Greeting": greeting,
			"Version":  version,
			"System":   runtime.GOOS + "/" + runtime.GOARCH,
			"Time":     time.Now().In(zone).Format(time.RFC3339),
		})
	})
	server := &http.Server{Addr: listen, ReadHeaderTimeout: 5 * time.Second}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	go func() {
		<-stop.Done()
		_ = server.Shutdown(context.Background())
	}()
	log.Printf("storefront %s listens on %s", version, listen)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
