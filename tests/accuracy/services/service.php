<?php
// A service for PHP-FPM behind nginx (tests/accuracy/cases.py says what each shape is). PHP keeps no connections.

function ask(string $port, string $path, string $number): void
{
	$fields = "X-Request-Id: $number\r\nConnection: close\r\n";
	$context = stream_context_create(['http' => ['header' => $fields, 'protocol_version' => '1.1']]);
	$answer = file_get_contents("http://127.0.0.1:$port$path", false, $context);
	if ($answer !== $number) {
		throw new RuntimeException("$path was answered by $answer");
	}
}

[, , $shape, $number] = explode('/', $_SERVER['REQUEST_URI']);
$backend = $_SERVER['BACKEND'];
switch ($shape) {
case 'one':
case 'inner':
	ask($backend, "/work/$number/0", $number);
	break;
case 'sequence':
	foreach ([0, 1, 2] as $call) {
		ask($backend, "/work/$number/$call", $number);
	}
	break;
case 'sleep':
	usleep(20000);
	ask($backend, "/work/$number/0", $number);
	break;
case 'hops':
	ask($_SERVER['NEXT'], "/inner/$number", $number);
	break;
}
header('Content-Type: text/plain');
header('Content-Length: ' . strlen($number));
echo $number;
if ($shape === 'after') {
	fastcgi_finish_request();
	usleep(10000);
	ask($backend, "/work/$number/0", $number);
}
