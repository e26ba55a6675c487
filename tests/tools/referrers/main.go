// referrers is a registry in memory that lists referrers, for tests of the API that the lab's own registry does not have.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	socket := flag.String("socket", "", "path of the socket to listen at")
	unfiltered := flag.Bool("unfiltered", false, "leave it to clients to filter by artifact type, as registries may")
	flag.Parse()
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	registry := ociserver.New(ocimem.New(), &ociserver.Options{DisableReferrersFiltering: *unfiltered})
	log.Fatal(http.Serve(listener, registry))
}
