<?php
$request = curl_init('http://127.0.0.1:9000/api/v1/notify/' . rawurlencode($argv[1]));
curl_setopt_array($request, [
    CURLOPT_POSTFIELDS => json_encode(['type' => 'shipped', 'data' => ['order' => 7]]),
    CURLOPT_HTTPHEADER => [
        'Authorization: Bearer ' . getenv('TXROOM_ADMIN_TOKEN'),
        'Content-Type: application/json',
        'Idempotency-Key: ' . bin2hex(random_bytes(16)),
    ],
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_TIMEOUT => 10,
]);
$answer = curl_exec($request);
if (curl_getinfo($request, CURLINFO_RESPONSE_CODE) !== 200) {
    throw new RuntimeException("txroom: $answer");
}
echo json_decode($answer)->n, "\n";
