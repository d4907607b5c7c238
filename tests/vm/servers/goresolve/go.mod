module goresolve

go 1.24
