# Each target is one command; .ci/run is what continuous integration runs.

.PHONY: build test lint race generate bench ci

build:
	CGO_ENABLED=0 go build -trimpath -o bin/nncf ./cmd/nncf

test:
	go test ./...

lint:
	bash .ci/run lint

race:
	go test -race -short ./...

generate:
	go generate ./...

bench:
	go test -run '^$$' -bench . -count 6 ./internal/kernel/...

ci:
	bash .ci/run
