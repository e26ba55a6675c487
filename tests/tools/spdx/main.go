// spdx reads an SPDX 2.3 document from standard input as other programs do, checks it, and prints what it holds.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
)

func main() {
	document, err := json.Read(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		log.Fatal(err)
	}
	described, err := spdxlib.GetDescribedPackageIDs(document)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(document.SPDXVersion, document.DocumentName, described)
	for _, pkg := range document.Packages {
		fmt.Println(pkg.PackageName, pkg.PackageVersion)
	}
}
